"""The terminal that commands print to."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console()
MOST_CHARACTERS = 2000


def warn(sentence: str) -> None:
    """On standard error, so that what is piped on stays clean."""
    say(Text.assemble(("warning ", "bold yellow"), plain(sentence)), Console(stderr=True))


def say(sentence: Text, to: Console = console) -> None:
    """Wrapped between words on a terminal; in a pipe one line, so that it can be searched."""
    to.print(sentence, soft_wrap=not to.is_terminal)


def aside(margin: Text, sentence: Text, *, width: int, to: Console = console) -> None:
    """A sentence beside a margin of so many columns, which its further lines leave free as well."""
    if not to.is_terminal or to.width < 2 * width:
        to.print(Text.assemble(margin, " " * (width - margin.cell_len), sentence), soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_column(width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(margin, sentence)
    to.print(grid)


def plain(text: str) -> str:
    """
    What a stranger's file says of itself, as a terminal may be given it: it must neither steer nor flood it.

    Line ends stay, for a message may have several lines.
    """
    cut = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
    return "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in cut)


def amount(size_bytes: int) -> str:
    """In kB, MB or GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes / 1e3:.1f} kB"
