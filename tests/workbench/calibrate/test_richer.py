"""Whether a richer map is worth it, where it is known that it is not; and whether a promise survives it."""

import numpy as np
from threadpoolctl import threadpool_limits

from shared_data import clinc_logits
from softgate.numerics.activations import softmax
from softgate.numerics.thresholds import precision_threshold
from softgate.workbench.calibrate.fit import Recipe, fit
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.richer import compare


def test_how_often_a_label_happened_to_occur_is_no_reason_for_a_shift() -> None:
    """With labels spread evenly over the folds, 3 in 10 such draws chose shifts, which made the loss worse."""
    chosen = 0
    for seed in range(12):
        draws = np.random.default_rng(seed)
        logits = 6 * draws.normal(size=(400, 20))
        truth = np.array([draws.choice(20, p=row) for row in softmax(logits / 2)])
        found = compare(Recipe("softmax", robust=True), Labelled(logits, truth), n_folds=5)
        assert found is not None
        chosen += found.chosen

    assert chosen == 0


def test_a_promise_is_kept_though_its_rows_fitted_150_shifts() -> None:
    """Six rows a class, the fewest that a shift is tried on: what they show of themselves is at its most flattering."""
    data = clinc_logits("minilm_mlp")
    logits = np.concatenate([data[split] for split in ("val", "test", "oos_val", "oos_test")])
    truth = np.concatenate([data["y_val"], data["y_test"], np.full(1100, -1)])
    random = np.random.default_rng(0)
    kept, taken_at_their_word = [], []
    # The matrices are small: threads would only wait for each other.
    with threadpool_limits(1):
        for _ in range(60):
            draw = random.integers(0, len(truth), 900)
            found = fit(Recipe("softmax", robust=True, rich=True), Labelled(logits[draw], truth[draw]))
            p = found.probabilities(logits)
            confidence, correct = p.max(axis=1), p.argmax(axis=1) == truth
            threshold = precision_threshold(confidence[draw], correct[draw], precision=0.95, risk=0.1).threshold
            kept.append(threshold is None or correct[confidence >= threshold].mean() >= 0.95)
            falling = draw[np.argsort(-confidence[draw])]
            precisions = np.cumsum(correct[falling]) / np.arange(1, 901)
            lowest = confidence[falling[np.flatnonzero(precisions >= 0.95)[-1]]]
            taken_at_their_word.append(correct[confidence >= lowest].mean() >= 0.95)

    # 0.9, less three standard errors of 60 draws.
    assert np.mean(kept) >= 0.784
    assert np.mean(taken_at_their_word) < 0.784
