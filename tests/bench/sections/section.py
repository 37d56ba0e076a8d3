"""What every section gives: claims, and the figures of all who took part."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from bench.turns import Turn
from bench.verdicts import AT_LEAST, Claim, Sense, best, ratios
from bench.workloads import Absent

Entered = TypeVar("Entered")
Figures = Mapping[str, Sequence[Turn]]


@dataclass(frozen=True, slots=True)
class Plan:
    turns: int
    seconds: float
    """Of each server in each turn."""


@dataclass
class Section:
    """Filled while it is measured."""

    claims: list[Claim] = field(default_factory=list)
    figures: dict[str, Figures] = field(default_factory=dict)
    """By load, then by contender."""
    skipped: list[str] = field(default_factory=list)

    def optional(self, stack: ExitStack, make: Callable[[], AbstractContextManager[Entered]]) -> Entered | None:
        """None, and the reason noted, where it cannot be had here."""
        try:
            return stack.enter_context(make())
        except Absent as exc:
            self.skipped.append(str(exc))
            return None

    def compare(
        self, load: str, text: str, ours: str, theirs: str, bound: float, *, figure: str, sense: Sense = AT_LEAST
    ) -> None:
        """Claims a ratio of two contenders under one load; not where one of them took no part."""
        taken = self.figures[load]
        if ours in taken and theirs in taken:
            values = ratios(of(taken[ours], figure), of(taken[theirs], figure))
            self.claims.append(Claim(text, values, sense, bound))

    def claim(self, text: str, values: Sequence[float], sense: Sense, bound: float, unit: str) -> None:
        self.claims.append(Claim(text, values, sense, bound, unit))

    def fastest(self, load: str, prefix: str) -> str:
        """The best variant of a peer under a load."""
        variants = {name: taken for name, taken in self.figures[load].items() if name.startswith(prefix)}
        return best(variants, lambda turn: turn.per_second)


def of(turns: Sequence[Turn], figure: str) -> Sequence[float]:
    return [getattr(turn, figure) for turn in turns]
