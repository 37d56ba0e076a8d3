"""The alarm as it is served, on real rows: what monitor and watch find is what the formulas find on the same rows."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from replays import FALLING, HIT, RISING, Bins, Floats, counted, delays, factors, in_scope, out_of_scope
from shared_data import clinc_logits
from softgate.numerics.alarm import mean_upper_bound, share_upper_bound, start, step
from softgate.numerics.out_of_scope import energy_gate
from softgate.numerics.temperature import fit_temperature
from softgate.runtime.repository import Bundle
from watched import Fleet, Logits, referenced

MODEL = "minilm_lr"
BUDGET = 30_000
SPLITS = (("val", "test"), ("oos_val", "oos_test"))


@pytest.fixture(scope="module")
def gate() -> float:
    return energy_gate(in_scope(MODEL).energy, share=0.05)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, gate: float) -> Bundle:
    data = clinc_logits(MODEL)
    rows = np.concatenate([data["val"], data["test"]])
    return referenced(
        tmp_path_factory.mktemp("model") / "toy",
        rows,
        labels=[f"label {place}" for place in range(150)],
        temperature=fit_temperature(data["val"], data["y_val"]).temperature,
        gate=gate,
        thresholds={"default": 0.7},
    )


def mixed(n_rows: int, *, share: float, seed: int) -> tuple[Logits, Bins, Floats]:
    """Logits of sentences with strangers among them, their bins of confidence and their energy."""
    data, rng = clinc_logits(MODEL), np.random.default_rng(seed)
    strange = rng.random(n_rows) < share
    familiar_at, strange_at = (rng.integers(0, len(of(MODEL).energy), n_rows) for of in (in_scope, out_of_scope))

    def drawn(familiar: NDArray[Any], stranger: NDArray[Any]) -> NDArray[Any]:
        rows = familiar[familiar_at]
        rows[strange] = stranger[strange_at][strange]
        return rows

    familiar, stranger = in_scope(MODEL), out_of_scope(MODEL)
    logits = drawn(*(np.concatenate([data[split] for split in splits]) for splits in SPLITS))
    return logits, drawn(familiar.bins, stranger.bins), drawn(familiar.energy, stranger.energy)


@pytest.mark.parametrize(("share", "rows"), [(0.2, 1), (0.2, 20), (0.05, 7), (1.0, 4)])
def test_the_delay_is_that_of_the_formulas_on_the_same_rows(
    bundle: Bundle, gate: float, share: float, rows: int
) -> None:
    pool = in_scope(MODEL)
    bounds = [mean_upper_bound(counted(pool.bins), values) for values in (FALLING, RISING)]
    bounds.append(share_upper_bound(int((pool.energy < gate).sum()), len(pool.energy)))

    found, expected = [], []
    for seed in range(5):
        logits, confidence, energy = mixed(2100, share=share, seed=seed)
        bins = [confidence, confidence, (energy < gate).astype(np.intp)]
        replicas = [
            (factors([bound], values), own[None])
            for bound, values, own in zip(bounds, (FALLING, RISING, HIT), bins, strict=True)
        ]
        expected.append(int(delays(replicas, budget=BUDGET, rows=rows)[0]))
        fleet = Fleet(bundle, workers=4)
        for first in range(0, 2100, rows):
            fleet.answer(logits[first : first + rows], worker=first // rows % 4)
            if fleet.step():
                found.append(first + rows)
                break

    assert found == expected
    assert max(found) < 2100


def test_evidence_alarms_and_restarts_are_those_of_the_formulas(bundle: Bundle, gate: float) -> None:
    """Half a stream of what the reference knows, then every third a stranger."""
    parts = [mixed(1500, share=share, seed=seed) for seed, share in ((1, 0.0), (2, 0.33))]
    fleet = Fleet(bundle)
    told: Counter[str] = Counter()
    for logits, _, _ in parts:
        for first in range(0, 1500, 30):
            fleet.answer(logits[first : first + 30])
            told.update(event.fields["detector"] for event in fleet.step())

    bins = np.concatenate([confidence for _, confidence, _ in parts])
    hits = (np.concatenate([energy for _, _, energy in parts]) < gate).astype(np.intp)
    for detector, state in zip(fleet.watched().detectors, fleet.watched().states, strict=True):
        own, n_bins = (hits, 2) if detector.name == "out_of_scope_rising" else (bins, len(FALLING))
        evidence, alarms = start(), 0
        for first in range(0, 3000, 30):
            counts = np.bincount(own[first : first + 30], minlength=n_bins)
            evidence = step(evidence, counts, detector.values, mean_bound=detector.mean_bound)
            if evidence.mean() >= BUDGET:
                evidence, alarms = start(), alarms + 1
        assert state["alarms"] == alarms
        assert told[detector.name] == min(alarms, 1)
        np.testing.assert_allclose(state["evidence"], evidence, rtol=1e-9)
    assert told["confidence_falling"] == told["out_of_scope_rising"] == 1
    assert told["confidence_rising"] == 0
