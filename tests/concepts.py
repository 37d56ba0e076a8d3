"""The tables of docs/concepts.md, for the tests that measure their figures again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "concepts.md").read_text()
MODELS = {"linear SVC": "tfidf_svc", "embedding": "minilm_lr", "network": "minilm_mlp"}


def table(title: str, first: str) -> Sequence[Sequence[str]]:
    """The table of a section whose first column is named `first`, by its lines."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = section.partition(f"\n| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert lines, f"No table of {first} in {title}."
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def rows_of(title: str, first: str) -> Sequence[Any]:
    return [pytest.param(cells, id=" ".join(cells[:3])) for cells in table(title, first)]


def percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"
