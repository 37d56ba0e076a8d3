"""Candidates in order, by hand and against scipy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.special import softmax

from softgate.policy.ranking import Ranking, against_each_other, by_label, by_own_label
from softgate.policy.scoring import score
from softgate.types import Scores


def scores(logits: Any, activation: str = "softmax") -> Scores:
    return score(np.asarray(logits, dtype=np.float64), activation=activation, temperature=1.0, with_energy=False)


def one_logit(*logits: float) -> Scores:
    """As the runtime pads one logit of two classes: beside a zero."""
    return scores([[0.0, x] for x in logits])


def order(found: Ranking) -> list[int]:
    return [int(row) for row in found.order]


def test_by_label_ranks_by_that_column() -> None:
    found = by_label(scores(np.log([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1], [0.25, 0.5, 0.25]])), 1)

    assert order(found) == [1, 2, 0]
    assert_allclose(found.probability, [0.2, 0.8, 0.5], rtol=1e-12)


def test_by_a_label_that_stands_for_itself() -> None:
    found = by_own_label(scores([[9.0, 0.0], [-9.0, np.log(3)]], "sigmoid"), 1)

    assert order(found) == [1, 0]
    assert_allclose(found.probability, [0.5, 0.75], rtol=1e-12)


def test_other_labels_do_not_order_what_rounds_to_1() -> None:
    assert order(by_own_label(scores([[-10.0, 50.0], [100.0, 60.0]], "sigmoid"), 1)) == [1, 0]


def test_against_each_other_by_hand() -> None:
    # Odds of 1 : 2 : 5.
    found = against_each_other(one_logit(0.0, np.log(2), np.log(5)), temperature=1.0)

    assert order(found) == [2, 1, 0]
    assert_allclose(found.probability, [1 / 8, 2 / 8, 5 / 8], rtol=1e-12)


def test_the_temperature_divides_the_logits() -> None:
    found = against_each_other(one_logit(0.0, np.log(4)), temperature=2.0)

    assert_allclose(found.probability, [1 / 3, 2 / 3], rtol=1e-12)


def test_a_single_candidate_is_the_one() -> None:
    found = against_each_other(one_logit(-40.0), temperature=1.0)

    assert (order(found), found.probability.tolist()) == ([0], [1.0])


@pytest.mark.parametrize("sick", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_comes_last_and_takes_no_share(sick: float) -> None:
    found = against_each_other(one_logit(sick, 0.0, np.log(3), sick), temperature=1.0)

    assert order(found) == [2, 1, 0, 3]
    assert_allclose(found.probability, [np.nan, 0.25, 0.75, np.nan], rtol=1e-12)


def test_what_is_not_finite_comes_last_by_label() -> None:
    found = by_label(scores([[np.nan, 5.0], [2.0, 0.0], [0.0, 2.0]]), 1)

    assert order(found) == [2, 1, 0]
    assert np.isnan(found.probability[0])


def test_where_nothing_is_finite_the_order_is_that_of_the_request() -> None:
    for found in (
        against_each_other(one_logit(np.nan, np.inf), temperature=1.0),
        by_label(one_logit(np.nan, -np.inf), 0),
    ):
        assert order(found) == [0, 1]
        assert np.isnan(found.probability).all()


def test_of_equals_the_earlier_comes_first() -> None:
    assert order(against_each_other(one_logit(1.0, 2.0, 1.0, 2.0, 1.0), temperature=1.0)) == [1, 3, 0, 2, 4]
    assert order(by_label(scores([[0.0, 1.0]] * 3 + [[0.0, 2.0]]), 1)) == [3, 0, 1, 2]


def test_probabilities_that_round_to_the_same_are_told_apart_by_their_logits() -> None:
    # All of them have a sigmoid that rounds to 1.
    found = by_label(one_logit(50.0, 60.0, 55.0), 1)

    assert found.probability.tolist() == [1.0, 1.0, 1.0]
    assert order(found) == [1, 2, 0]


def test_a_shift_of_a_rows_logits_does_not_move_it_in_the_ranking() -> None:
    # A softmax does not see the shift: the first row's odds are e^50, the second's e^40, and both round to 1.
    assert order(by_label(scores([[0.0, 50.0], [1000.0, 1040.0]]), 1)) == [0, 1]
    # Both are one half.
    assert order(by_label(scores([[0.0, 0.0], [5.0, 5.0]]), 1)) == [0, 1]


def test_probabilities_that_underflow_are_told_apart_by_their_logits() -> None:
    found = against_each_other(one_logit(0.0, -2000.0, -1000.0), temperature=1.0)

    assert found.probability.tolist() == [1.0, 0.0, 0.0]
    assert order(found) == [0, 2, 1]


def test_float32_logits_are_ranked_in_float64() -> None:
    found = against_each_other(
        score(
            np.array([[0, 1e4], [0, -1e4]], dtype=np.float32), activation="softmax", temperature=1, with_energy=False
        ),
        temperature=1.0,
    )

    assert found.probability.dtype == np.float64
    assert found.probability.tolist() == [1.0, 0.0]


logits = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e4, 1e4))


@given(logits, st.floats(0.1, 10))
def test_against_each_other_is_scipys_softmax_and_sorted(x: Any, temperature: float) -> None:
    found = against_each_other(one_logit(*x), temperature=temperature)

    assert_allclose(found.probability, softmax(x / temperature), rtol=1e-9, atol=1e-300)
    assert found.probability.sum() == pytest.approx(1.0, abs=1e-12)
    assert sorted(order(found)) == list(range(len(x)))
    assert (np.diff(found.probability[found.order]) <= 0).all()


@given(logits)
def test_the_order_does_not_depend_on_the_temperature(x: Any) -> None:
    assert order(against_each_other(one_logit(*x), temperature=0.5)) == order(
        against_each_other(one_logit(*x), temperature=1.0)
    )
