"""What orders come to, and what is then to be served."""

from pathlib import Path

import numpy as np
import pytest

from graphs import linear, write_calibration, write_model
from softgate.errors import CardInvalid, DigestMismatch, UnknownModel
from softgate.runtime.pinned import bundle_digest, models_digest
from softgate.runtime.repository import find_bundles
from softgate.web.staging import Lineup, Wanted, staged, wanted

EYE = np.eye(4, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write_model(tmp_path / name, linear(EYE), name=name)
    return tmp_path


def lineup(folder: Path) -> Lineup:
    return Lineup(find_bundles(folder), {})


def names(lineup: Lineup) -> tuple[list[str], list[str]]:
    return [bundle.name for bundle in lineup.bundles], list(lineup.unloaded)


def after(folder: Path, current: Lineup, *orders: str, pinned: str | None = None) -> Lineup:
    return staged(folder, current, wanted(orders), pinned=pinned)


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (["reload"], Wanted(True, frozenset(), frozenset())),
        (["reload one"], Wanted(False, frozenset({"one"}), frozenset())),
        (["unload one", "reload two"], Wanted(False, frozenset({"two"}), frozenset({"one"}))),
        (["unload one", "reload one"], Wanted(False, frozenset({"one"}), frozenset())),
        (["reload one", "unload one"], Wanted(False, frozenset(), frozenset({"one"}))),
        (["unload one", "reload", "reload"], Wanted(True, frozenset(), frozenset({"one"}))),
    ],
)
def test_of_a_model_its_last_order_counts(orders: list[str], expected: Wanted) -> None:
    assert wanted(orders) == expected


def test_what_is_unloaded_is_left_out_until_it_is_read_by_its_name(folder: Path) -> None:
    first = lineup(folder)

    without = after(folder, first, "unload one")
    assert names(without) == (["two"], ["one"])
    assert without.unloaded["one"].version == "1"
    assert without.unloaded["one"].digest == bundle_digest(first.bundles[0])

    assert names(after(folder, without, "reload")) == (["two"], ["one"])
    assert names(after(folder, without, "reload two")) == (["two"], ["one"])
    assert names(after(folder, without, "reload one")) == (["one", "two"], [])


def test_what_is_not_served_is_not_unloaded(folder: Path) -> None:
    assert names(after(folder, lineup(folder), "unload nobody")) == (["one", "two"], [])


def test_to_unload_reads_nothing(folder: Path) -> None:
    current = lineup(folder)
    (folder / "two" / "classifier.toml").write_text("no card")

    assert names(after(folder, current, "unload two")) == (["one"], ["two"])
    with pytest.raises(CardInvalid):
        after(folder, current, "reload one")


def test_the_last_may_go_and_come_back(folder: Path) -> None:
    none = after(folder, lineup(folder), "unload one", "unload two")

    assert names(none) == ([], ["one", "two"])
    assert names(after(folder, none, "reload two")) == (["two"], ["one"])


def test_a_name_that_is_not_in_the_folder_is_refused(folder: Path) -> None:
    with pytest.raises(UnknownModel, match="expected models named nobody; there are one, two"):
        after(folder, lineup(folder), "reload nobody")


def test_what_is_pinned_may_go_and_come_back_and_nothing_else_may_come(folder: Path) -> None:
    pinned = models_digest(find_bundles(folder))

    without = after(folder, lineup(folder), "unload one", pinned=pinned)
    assert names(after(folder, without, "reload", pinned=pinned)) == (["two"], ["one"])
    assert names(after(folder, without, "reload one", pinned=pinned)) == (["one", "two"], [])

    write_calibration(folder / "one")
    with pytest.raises(DigestMismatch):
        after(folder, without, "reload one", pinned=pinned)
    assert names(after(folder, without, "reload two", pinned=pinned)) == (["two"], ["one"])
