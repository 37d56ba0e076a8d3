import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from softgate.numerics.activations import softmax
from softgate.policy.scoring import Shown, score, show
from softgate.types import Scores, View

LOGITS = np.random.default_rng(0).normal(scale=3, size=(50, 8))


def scored(logits: NDArray[np.floating] = LOGITS, *, temperature: float = 2.0) -> Scores:
    return score(logits, activation="softmax", temperature=temperature, with_energy=True)


def shown(view: View, *, scores: Scores | None = None) -> Shown:
    return show(scores or scored(), view, activation="softmax")


def test_scores_are_at_the_temperature() -> None:
    scores = scored(temperature=2.0)

    assert_array_equal(scores.probabilities, softmax(LOGITS / 2))
    assert_array_equal(scores.label, LOGITS.argmax(axis=1))
    assert_array_equal(scores.confidence, softmax(LOGITS / 2).max(axis=1))
    assert scores.finite.all()


def test_energy_is_left_out_where_it_means_nothing() -> None:
    assert score(LOGITS, activation="softmax", temperature=1.0, with_energy=False).energy is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_marked_and_harms_no_other(bad: float) -> None:
    broken = LOGITS.copy()
    broken[3, 5] = bad

    scores, whole = scored(broken), scored()

    assert np.flatnonzero(~scores.finite).tolist() == [3]
    rest = scores.finite
    for name in ("probabilities", "label", "confidence", "margin", "entropy", "energy"):
        assert_array_equal(getattr(scores, name)[rest], getattr(whole, name)[rest])
        assert np.isfinite(getattr(scores, name)).all()


def test_a_logit_that_the_temperature_drives_out_of_range_is_not_finite() -> None:
    scores = scored(np.array([[1e308, 0.0], [1.0, 0.0]]), temperature=0.5)

    assert scores.finite.tolist() == [False, True]
    assert np.isfinite(scores.probabilities).all()


def test_without_a_view_every_class_is_shown_most_probable_first() -> None:
    everything = shown(View())

    assert_array_equal(everything.order, np.argsort(-LOGITS, axis=1))
    assert (everything.keep == 8).all()
    assert_array_equal(everything.scores.label, LOGITS.argmax(axis=1))


def test_top_k_cuts_the_order() -> None:
    assert_array_equal(shown(View(top_k=3)).order, np.argsort(-LOGITS, axis=1)[:, :3])
    assert shown(View(top_k=100)).order.shape == (50, 8)


def test_top_p_keeps_the_fewest_classes_that_reach_it() -> None:
    view = shown(View(top_p=0.8))

    ranked = -np.sort(-scored().probabilities, axis=1)
    for row in range(50):
        kept = int(view.keep[row])
        assert ranked[row, :kept].sum() >= 0.8 - 1e-12
        assert ranked[row, : kept - 1].sum() < 0.8


def test_top_p_cuts_after_the_temperature_and_top_k() -> None:
    scores = scored(np.log([[0.5, 0.3, 0.15, 0.05]]), temperature=1.0)

    assert shown(View(top_p=0.75), scores=scores).keep.tolist() == [2]
    assert shown(View(top_p=0.75, temperature=20.0), scores=scores).keep.tolist() == [3]
    assert shown(View(top_p=0.99, top_k=2), scores=scores).keep.tolist() == [2]


def test_a_cut_is_not_renormalised() -> None:
    assert_array_equal(shown(View(top_k=2, top_p=0.5)).scores.probabilities, scored().probabilities)


def test_a_temperature_shows_other_probabilities_and_the_same_energy() -> None:
    view = shown(View(temperature=5.0))

    assert_array_equal(view.scores.probabilities, softmax(LOGITS / 5))
    assert_array_equal(view.scores.energy, scored().energy)
    assert_array_equal(view.scores.logits, LOGITS)


def test_a_temperature_is_that_of_the_raw_logits_not_one_on_top_of_the_fitted() -> None:
    assert_array_equal(shown(View(temperature=2.0)).scores.probabilities, scored(temperature=2.0).probabilities)


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_is_of_the_cut_and_its_own_probability(seed: int) -> None:
    view = shown(View(select="sample", seed=seed, top_k=4, top_p=0.7))

    for row in range(50):
        assert view.scores.label[row] in view.order[row, : view.keep[row]]
        assert view.scores.confidence[row] == view.scores.probabilities[row, view.scores.label[row]]


def test_a_seed_repeats_its_sample_and_another_gives_another() -> None:
    first, again, other = (shown(View(select="sample", seed=seed)).scores.label for seed in (1, 1, 2))

    assert_array_equal(first, again)
    assert (first != other).any()


def test_a_sample_follows_the_renormalised_cut() -> None:
    scores = scored(np.log(np.tile([[0.4, 0.4, 0.2]], (4000, 1))), temperature=1.0)

    labels = shown(View(select="sample", seed=0, top_k=2), scores=scores).scores.label

    # Half of 4000, give or take six standard deviations of 32.
    assert set(labels.tolist()) == {0, 1}
    assert abs(int((labels == 0).sum()) - 2000) < 190


def test_a_sample_of_one_class_is_the_best() -> None:
    assert_array_equal(shown(View(select="sample", seed=3, top_k=1)).scores.label, LOGITS.argmax(axis=1))


def test_a_view_changes_nothing_of_what_it_shows() -> None:
    scores = scored()
    before = scored()

    shown(View(temperature=0.1, top_k=2, top_p=0.3, select="sample", seed=5), scores=scores)

    for name in ("logits", "probabilities", "label", "confidence", "margin", "entropy", "energy"):
        assert_array_equal(getattr(scores, name), getattr(before, name))


def test_a_row_that_is_not_finite_can_be_shown_in_every_way() -> None:
    broken = scored(np.array([[np.nan, 0.0], [0.0, 1.0]]))

    view = shown(View(temperature=0.5, top_k=1, top_p=0.5, select="sample", seed=0), scores=broken)

    assert view.scores.finite.tolist() == [False, True]
    assert view.scores.label[1] == 1
