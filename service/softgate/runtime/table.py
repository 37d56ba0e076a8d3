"""
A TOML table read key by key.

Every mistake is noted with its key, what was got and what was wanted; none stops the reading.
"""

import difflib
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MISSING: Any = object()


class Table:
    """One table of a TOML file, `place` naming it in messages ("" for the root)."""

    def __init__(self, values: Mapping[str, Any], *, place: str, mistakes: list[str]) -> None:
        self._values = values
        self._place = place
        self._mistakes = mistakes
        self._known: set[str] = set()

    def text(
        self, key: str, default: Any = MISSING, *, one_of: Sequence[str] = (), pattern: re.Pattern[str] | None = None
    ) -> Any:
        wanted = f"one of {', '.join(one_of)}" if one_of else "a string"
        if pattern is not None:
            wanted = f"a string matching {pattern.pattern}"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        fits = isinstance(value, str) and value != "" and (not one_of or value in one_of)
        if not fits or (pattern is not None and not pattern.fullmatch(value)):
            return self._wrong(key, value, wanted, default)
        return value

    def number(self, key: str, default: Any = MISSING, *, low: float, high: float) -> Any:
        wanted = f"a{_numbers('number', low, high)}"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        if not _is_number(value, low, high):
            return self._wrong(key, value, wanted, default)
        return float(value)

    def number_or_numbers(self, key: str, default: Any = MISSING, *, low: float, high: float, length: int) -> Any:
        """A number, or a list of so many, as a tuple."""
        wanted = f"a{_numbers('number', low, high)}, or a list of {length} of them"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        if _is_number(value, low, high):
            return float(value)
        if not isinstance(value, list) or len(value) != length or not all(_is_number(n, low, high) for n in value):
            return self._wrong(key, value, wanted, default)
        return tuple(map(float, value))

    def share(self, key: str, default: Any = MISSING) -> Any:
        wanted = "a number above 0 and below 1"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            return self._wrong(key, value, wanted, default)
        return float(value)

    def integer(self, key: str, default: Any = MISSING, *, low: int, high: int) -> Any:
        wanted = f"an integer from {low} to {high}"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return self._wrong(key, value, wanted, default)
        return value

    def texts(self, key: str, default: Any = MISSING) -> Any:
        """A list of different strings, as a tuple."""
        wanted = "a list of different strings"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        fits = isinstance(value, list) and value and all(isinstance(item, str) and item for item in value)
        if not fits or len(set(value)) < len(value):
            return self._wrong(key, value, wanted, default)
        return tuple(value)

    def numbers(
        self, key: str, default: Any = MISSING, *, low: float, high: float, lengths: Sequence[int] | None = None
    ) -> Any:
        """A list of so many numbers, or of any, as a tuple."""
        so_many = "" if lengths is None else f" {' or '.join(map(str, lengths))}"
        wanted = f"a list of{so_many}{_numbers('numbers', low, high)}"
        value = self._take(key, default, wanted)
        if value is default:
            return default
        fits = isinstance(value, list) and (lengths is None or len(value) in lengths)
        if not fits or not all(_is_number(n, low, high) for n in value):
            return self._wrong(key, value, wanted, default)
        return tuple(value)

    def boolean(self, key: str, default: Any = MISSING) -> Any:
        value = self._take(key, default, "true or false")
        if value is default or isinstance(value, bool):
            return value
        return self._wrong(key, value, "true or false", default)

    def table(self, key: str) -> "Table":
        value = self._take(key, {}, "a table")
        if not isinstance(value, Mapping):
            value = self._wrong(key, value, "a table", {})
        return Table(value, place=self._at(key), mistakes=self._mistakes)

    def names(self) -> Iterator[str]:
        """The keys of a table whose keys are names (labels, routes, profiles), not words of the card."""
        yield from self._values

    def note(self, key: str, message: str) -> None:
        """A mistake found by the reader itself."""
        self._mistakes.append(f"{self._at(key)}: {message}")

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, sorted(self._known), n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self._known))}."
                self._mistakes.append(f"{self._at(key)}: unknown key; {hint}")

    def _take(self, key: str, default: Any, wanted: str) -> Any:
        self._known.add(key)
        if key in self._values:
            return self._values[key]
        if default is MISSING:
            self._mistakes.append(f"{self._at(key)}: missing; wanted {wanted}.")
        return default

    def _wrong(self, key: str, value: Any, wanted: str, default: Any) -> Any:
        self._mistakes.append(f"{self._at(key)}: got {shown(value)}, wanted {wanted}.")
        return default

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _is_number(value: Any, low: float, high: float) -> bool:
    # bool is an int in Python; a card that says `threshold = true` is mistaken.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # An integer may have more digits than a float holds.
    return low <= value <= high and -sys.float_info.max <= value <= sys.float_info.max


def _numbers(word: str, low: float, high: float) -> str:
    return f" finite {word}" if math.isinf(high) else f" {word} from {low:g} to {high:g}"


def shown(value: Any) -> str:
    """A value as a message may quote it: short, on one line."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    if len(text) <= 60:
        return text
    return f"{text[:57]}..." + (f" of {len(value)}" if isinstance(value, list) else "")
