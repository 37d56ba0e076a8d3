"""`softgate --version`."""

from softgate import __version__
from softgate.runtime.compiled import is_compiled


def told() -> str:
    return f"softgate {__version__}{' (compiled)' if is_compiled() else ''}"
