"""Numbers and names as a reader sees them, on the page and in the terminal alike."""

import math
import unicodedata
from collections.abc import Sequence

NONE = "\N{EN DASH}"
MAX_INPUT_CHARACTERS = 300


def percent(share: float | None, digits: int = 1) -> str:
    return NONE if share is None else f"{100 * share:.{digits}f}%"


def at_least(share: float | None, digits: int = 1) -> str:
    """A lower bound, never rounded up."""
    return NONE if share is None else f"{math.floor(round(share * 10 ** (digits + 2), 6)) / 10**digits:.{digits}f}%"


def short_percent(share: float) -> str:
    """A round share as a person wrote it: 95%, 99.5%."""
    return f"{round(100 * share, 4):g}%"


def error(share: float | None) -> str:
    """A calibration error: two digits, for it is small."""
    return percent(share, 2)


def number(value: float | None, digits: int = 4) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def counted(value: int, noun: str, plural: str | None = None) -> str:
    return f"{count(value)} {noun if value == 1 else plural or noun + 's'}"


def rows_needed(rows: int | None) -> str:
    """What a promise would take that these rows do not carry."""
    return f"It takes at least {counted(rows, 'row')} without an error." if rows else ""


def chance(p_value: float | None) -> str:
    if p_value is None:
        return NONE
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"


def shown_temperature(temperature: float | Sequence[float]) -> str:
    if isinstance(temperature, int | float):
        return f"{temperature:.3f}"
    return f"{min(temperature):.3f} to {max(temperature):.3f}, one per label" if temperature else NONE


def thresholds(shared: float | None, own: Sequence[float]) -> str:
    """`own`: of routes that have one by themselves; `shared`: of the others."""
    if not own:
        return f"threshold {number(shared, 3)}"
    of_routes = f"thresholds {min(own):.3f} to {max(own):.3f} of {counted(len(own), 'route')}"
    return of_routes if shared is None else f"{of_routes}, {shared:.3f} of the others"


def printable(text: str) -> str:
    """Nothing that steers a terminal or turns the text around it: such a character is shown as one that is unknown."""
    return "".join("\ufffd" if _steers(character) else character for character in text)


def shortened(text: str, limit: int) -> str:
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _steers(character: str) -> bool:
    category = unicodedata.category(character)
    # Cf holds the overrides of direction, but also what joins the parts of an emoji or a letter.
    return category in {"Cc", "Cs", "Zl", "Zp"} or (category == "Cf" and character not in "\u200c\u200d")
