"""Every figure about drift in docs/concepts.md, measured again and compared to the printed digit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from concepts import MODELS, percent, rows_of
from replays import delays_over_references, windows
from shared_data import clinc_logits
from softgate.numerics.accuracy import atc_threshold
from softgate.numerics.activations import softmax
from softgate.numerics.confidence import entropy, max_probability
from softgate.numerics.drift import population_stability_index
from softgate.numerics.temperature import apply_temperature, fit_temperature

Floats = NDArray[np.float64]


@pytest.mark.parametrize("cells", rows_of("Drift", "rows"))
def test_psi_by_a_fixed_limit_and_by_its_chance(cells: Sequence[str]) -> None:
    def found(share: float) -> tuple[Floats, Floats, float]:
        pairs = windows("minilm_lr", m=3000, n=int(cells[0]), share=share)
        assert len(pairs) == 22_000
        each = [population_stability_index(*pair, np.empty(0)) for pair in pairs]
        return np.array([one.value for one in each]), np.array([one.p_value for one in each]), each[0].floor

    (calm, calm_p, floor), (strange, strange_p, _) = found(0.0), found(0.2)

    shares = (calm > 0.1, calm_p < 0.001, strange > 0.25, strange_p < 0.001)
    assert cells[1:] == [f"{floor:.3f}", *(percent(float(share.mean()), 1) for share in shares)]


@pytest.mark.parametrize("cells", rows_of("Drift", "model | strangers | rows, median"))
def test_rows_until_strangers_are_found(cells: Sequence[str]) -> None:
    share = float(cells[1].removesuffix(" %")) / 100

    found = delays_over_references(MODELS[cells[0]], share=share, n_rows=10_000)

    assert found.shape == (11, 100)
    assert cells[2:] == [str(int(np.median(found))), str(int(np.quantile(found, 0.95)))]


@pytest.mark.parametrize("cells", rows_of("Drift", "model | strangers | accuracy"))
def test_accuracy_without_labels(cells: Sequence[str]) -> None:
    data, share = clinc_logits(MODELS[cells[0]]), float(cells[1].removesuffix(" %")) / 100
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    val, test, strange = (softmax(apply_temperature(data[split], temperature)) for split in ("val", "test", "oos_test"))
    bound = atc_threshold(entropy(val), val.argmax(axis=1) == data["y_val"])

    def mixed(of_test: NDArray[Any], of_strange: NDArray[Any]) -> str:
        return percent(float((1 - share) * of_test.mean() + share * of_strange.mean()), 1)

    accuracy = mixed(test.argmax(axis=1) == data["y_test"], np.zeros(len(strange)))
    confidence = mixed(max_probability(test), max_probability(strange))
    assert cells[2:] == [accuracy, confidence, mixed(entropy(test) <= bound, entropy(strange) <= bound)]
