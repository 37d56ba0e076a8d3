from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graphs import LABELS, linear, write_calibration, write_model
from softgate.policy.monitor.estimate import estimators
from softgate.policy.monitor.told import Estimate
from softgate.runtime.repository import read_bundle
from watched import Fleet, Logits, logits, referenced

AVERAGE, ATC = "average_confidence", "atc_negative_entropy"


def softmax(rows: Logits) -> Logits:
    exponents = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def entropy(rows: Logits) -> Logits:
    p = softmax(rows)
    return np.asarray(-(p * np.log(p)).sum(axis=1))


def truth(rows: Logits, *, seed: int = 5) -> NDArray[np.intp]:
    """Labels drawn from the probabilities: a model that knows what it does not know."""
    draws = np.random.default_rng(seed).random((len(rows), 1))
    labels: NDArray[np.intp] = np.sum(softmax(rows).cumsum(axis=1) < draws, axis=1)
    return labels


def fleet(folder: Path, **parts: Any) -> Fleet:
    rows = logits(2000, scale=2.0)
    return Fleet(referenced(folder, rows, truth=truth(rows), **parts))


def estimates(of: Fleet, window: str = "1h") -> dict[str, Estimate]:
    return dict(of.window(window).estimated_accuracy)


def test_estimates_are_the_mean_confidence_and_the_share_at_or_below_the_entropy_of_the_right(tmp_path: Path) -> None:
    reference, live = logits(2000, scale=2.0), logits(500, scale=2.5, seed=1)
    right = reference.argmax(axis=1) == truth(reference)
    bound = np.sort(entropy(reference))[right.sum() - 1]
    served = fleet(tmp_path / "toy")
    served.answer(live)

    found = estimates(served)

    assert found[AVERAGE].value == pytest.approx(softmax(live).max(axis=1).mean())
    assert found[ATC].value == pytest.approx((entropy(live) <= bound).mean())
    assert all(estimate.valid and estimate.why_not is None for estimate in found.values())
    accuracy = (live.argmax(axis=1) == truth(live, seed=6)).mean()
    assert found[AVERAGE].value == pytest.approx(accuracy, abs=0.05)
    assert found[ATC].value == pytest.approx(accuracy, abs=0.05)


def test_of_the_reference_s_own_rows_atc_is_their_accuracy(tmp_path: Path) -> None:
    rows = logits(2000, scale=2.0)
    served = fleet(tmp_path / "toy")
    served.answer(rows)

    assert estimates(served)[ATC].value == (rows.argmax(axis=1) == truth(rows)).mean()


def test_few_rows_are_no_basis(tmp_path: Path) -> None:
    served = fleet(tmp_path / "toy")
    served.answer(logits(99, scale=2.0, seed=1))

    assert {estimate.why_not for estimate in estimates(served).values()} == {"99 rows; wanted 100"}
    served.answer(logits(1, scale=2.0, seed=2))
    assert all(estimate.valid for estimate in estimates(served).values())


def test_an_alarm_takes_validity_away_while_its_rows_are_among_those_of_the_window(tmp_path: Path) -> None:
    served = fleet(tmp_path / "toy")
    served.answer(logits(300, scale=0.5, seed=1))
    served.step()

    assert {estimate.why_not for estimate in estimates(served).values()} == {"alarm: confidence_falling"}
    assert not any(estimate.valid for estimate in estimates(served).values())
    served.acknowledge("confidence_falling")
    served.step()
    assert not any(estimate.valid for estimate in estimates(served).values())
    for _ in range(2):
        served.step(seconds=3700)
    served.answer(logits(300, scale=2.0, seed=2))
    served.step()
    assert all(estimate.valid for estimate in estimates(served).values())


def test_a_gate_that_turns_more_away_than_at_calibration_takes_validity_away_before_any_alarm(tmp_path: Path) -> None:
    served = fleet(tmp_path / "toy", gate=1.5, card="[monitoring]\nalarm_every = 1000000000\n")
    familiar = logits(400, scale=2.0, seed=1)
    served.answer(familiar)
    served.step()
    assert all(estimate.valid for estimate in estimates(served).values())

    served.answer(np.concatenate([logits(300, scale=2.0, seed=2), logits(65, scale=2.0, seed=3) - 8.0]))
    served.step()

    assert not served.report().alarm
    reasons = {estimate.why_not for estimate in estimates(served).values()}
    assert reasons == {"the gate turns away more rows than at calibration time"}


def test_a_gate_that_turns_fewer_away_leaves_validity(tmp_path: Path) -> None:
    served = fleet(tmp_path / "toy", gate=1.5)
    served.answer(logits(400, scale=2.0, seed=1) + 8.0)

    assert all(estimate.valid for estimate in estimates(served).values())


def test_rows_that_are_not_finite_have_no_part_in_it(tmp_path: Path) -> None:
    with_them, without = fleet(tmp_path / "a", gate=1.5), fleet(tmp_path / "b", gate=1.5)
    for served in (with_them, without):
        served.answer(np.concatenate([logits(200, scale=2.0, seed=1), logits(100, scale=2.0, seed=3) - 8.0]))
    with_them.answer(np.full((5000, 4), np.nan))

    assert estimates(with_them) == estimates(without)
    assert not any(estimate.valid for estimate in estimates(without).values())


def test_no_rows_have_no_estimate(tmp_path: Path) -> None:
    served = fleet(tmp_path / "toy")
    served.answer(np.full((200, 4), np.nan))

    assert estimates(served) == {}


def test_each_window_has_its_own(tmp_path: Path) -> None:
    served = fleet(tmp_path / "toy")
    served.step()
    served.answer(logits(300, scale=2.0, seed=1))
    served.step()
    served.step(300.0)
    served.answer(logits(10, scale=2.0, seed=2))

    assert estimates(served, "1m")[AVERAGE].why_not == "10 rows; wanted 100"
    assert estimates(served, "10m")[AVERAGE].valid


def test_without_rights_in_the_reference_there_is_the_mean_alone(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    written = dict(fleet(folder).watched().bundle.calibration.written_reference)  # type: ignore[union-attr]
    del written["right"]
    write_calibration(folder, reference=written)
    served = Fleet(read_bundle(folder))
    served.answer(logits(200, scale=2.0, seed=1))

    assert list(estimates(served)) == list(estimators(served.watched())) == [AVERAGE]


def test_labels_that_may_hold_at_once_have_none(tmp_path: Path) -> None:
    served = Fleet(referenced(tmp_path / "toy", logits(300), activation="sigmoid", thresholds={"default": 0.5}))
    served.answer(logits(200, seed=1))

    assert estimates(served) == {}
    assert estimators(served.watched()) == ()


def test_without_a_reference_there_is_none(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)), labels=LABELS)
    plain = Fleet(read_bundle(folder))
    write_calibration(folder)
    bare = Fleet(read_bundle(folder))

    for served in (plain, bare):
        served.answer(logits(200))
        assert estimates(served) == {}
        assert estimators(served.watched()) == ()
