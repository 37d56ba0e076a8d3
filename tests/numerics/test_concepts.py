"""The page explains these numbers, so it must show what the code gives."""

import doctest
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared_data import clinc_logits
from softgate.numerics.activations import softmax, sparsemax
from softgate.numerics.confidence import max_probability
from softgate.numerics.reliability import expected_calibration_error
from softgate.numerics.temperature import (
    TemperatureFit,
    apply_temperature,
    fit_robust_temperature,
    fit_temperature,
    fit_temperature_by_brier,
)

PAGE = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_examples_give_what_the_page_shows() -> None:
    # One document: later examples use the names of earlier ones.
    examples = doctest.DocTestParser().get_doctest("\n".join(BLOCKS), {}, "docs/concepts.md", None, None)
    report: list[str] = []

    results = doctest.DocTestRunner(verbose=False).run(examples, out=report.append)

    assert results.failed == 0, "".join(report)
    assert results.attempted == PAGE.count(">>> ") > 0


@pytest.mark.parametrize("labels", ["as they are", "5 % random"])
@pytest.mark.parametrize(("name", "fit"), [("plain", fit_temperature), ("robust", fit_robust_temperature)])
def test_label_noise_has_the_effect_the_page_shows(labels: str, name: str, fit: Callable[..., TemperatureFit]) -> None:
    data = clinc_logits("minilm_lr")
    rng = np.random.default_rng(0)
    share = 0.05 if labels == "5 % random" else 0.0
    targets = np.where(rng.random(3000) < share, rng.integers(0, 150, 3000), data["y_val"])

    fitted = fit(data["val"], targets)
    probabilities = softmax(apply_temperature(data["test"], fitted.temperature))
    correct = probabilities.argmax(axis=1) == data["y_test"]
    error = expected_calibration_error(max_probability(probabilities), correct)

    noise = f" {fitted.noise:.1%}".replace("%", " %") if name == "robust" else ""
    error_shown = f"{error:.1%}".replace("%", " %")
    assert f"| {labels} | {name} | {fitted.temperature:.2f} |{noise} | {error_shown} |" in PAGE


def test_sparsemax_is_as_certain_as_the_page_says() -> None:
    data = clinc_logits("minilm_lr")

    fitted = fit_temperature_by_brier(data["val"], data["y_val"], activation=sparsemax)
    in_scope, out_of_scope = (
        np.mean(max_probability(sparsemax(apply_temperature(data[split], fitted.temperature))) == 1.0)
        for split in ("test", "oos_test")
    )

    words = " ".join(PAGE.split())
    assert f"{in_scope:.0%}".replace("%", " %") + " of the in-scope messages" in words
    assert f"so do {out_of_scope:.0%}".replace("%", " %") + " of those that are out of scope" in words
