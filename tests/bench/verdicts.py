"""What turns say of a claim: ratios of one turn, their spread, a verdict on the median. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeVar

HEADS = ("claim", "wanted", "least", "median", "most", "verdict")
Sense = Literal[">=", "<="]
AT_LEAST: Sense = ">="
AT_MOST: Sense = "<="
Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of a table: a figure of each turn, and what its median has to be."""

    text: str
    values: Sequence[float]
    sense: Sense
    bound: float
    unit: str = "x"

    @property
    def holds(self) -> bool:
        middle = median(self.values)
        return middle >= self.bound if self.sense == AT_LEAST else middle <= self.bound

    def cells(self) -> Sequence[str]:
        """As `HEADS` names them."""
        spread = (shown(value) for value in (min(self.values), median(self.values), max(self.values)))
        verdict = "pass" if self.holds else "FAIL"
        return self.text, f"{self.sense} {shown(self.bound)} {self.unit}".rstrip(), *spread, verdict


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Sequence[float]:
    """Turn by turn: what the machine does to one turn it does to both."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def best(variants: Mapping[str, Sequence[Taken]], figure: Callable[[Taken], float]) -> str:
    """The variant whose median is largest, which a peer is judged by."""
    return max(variants, key=lambda name: median(map(figure, variants[name])))


def shown(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(claims: Sequence[Claim]) -> str:
    """As Markdown, which reads as well on a screen."""
    lines = [HEADS, ["---", "---", "--:", "--:", "--:", "---"], *(claim.cells() for claim in claims)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
