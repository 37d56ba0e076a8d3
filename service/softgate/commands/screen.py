"""The terminal that commands print to."""

from rich.console import Console
from rich.text import Text

console = Console()


def warn(sentence: str) -> None:
    """On standard error, so that what is piped on stays clean."""
    Console(stderr=True).print(Text.assemble(("warning ", "bold yellow"), sentence), soft_wrap=True)


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.1f} kB"
