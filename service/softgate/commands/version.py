"""`softgate --version`."""

from softgate import __version__
from softgate.runtime.compiled import is_compiled


def installed() -> str:
    """As `0.1.0`, or `0.1.0 (compiled)`."""
    return f"{__version__}{' (compiled)' if is_compiled() else ''}"
