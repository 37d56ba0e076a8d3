"""What answers look like, and what of a card does not fit them."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from softgate.runtime.outputs import OUTPUTS
from softgate.runtime.plausibility import Columns, Looks, doubts, looks
from softgate.types import Floats

SCORES: Floats = np.random.default_rng(3).normal(scale=3, size=(8, 5))
SHARES: Floats = softmax(SCORES, axis=1)
UNIT: Floats = expit(SCORES)
ANSWERS = {
    Looks.SHARES: SHARES,
    Looks.LOG_SHARES: log_softmax(SCORES, axis=1),
    Looks.NEARLY_SHARES: SHARES * 1.001,
    Looks.UNIT: UNIT,
    Looks.NEGATIVE: -np.abs(SCORES) - 1,
    Looks.SCORES: SCORES,
}
RIGHT = {
    (Columns.CLASSES, "logits"): {Looks.SCORES, Looks.NEGATIVE},
    (Columns.CLASSES, "probabilities"): {Looks.SHARES, Looks.NEARLY_SHARES},
    (Columns.CLASSES, "log_probabilities"): {Looks.LOG_SHARES, Looks.NEARLY_SHARES},
    (Columns.LABELS, "logits"): {Looks.SCORES, Looks.NEGATIVE},
    (Columns.LABELS, "probabilities"): {Looks.UNIT, Looks.NEARLY_SHARES},
    (Columns.LABELS, "log_probabilities"): {Looks.NEGATIVE, Looks.NEARLY_SHARES},
}
# Scores may lie between 0 and 1 by chance, and labels may complement each other: no reason to refuse them.
DOUBTED = {
    (Columns.CLASSES, "logits", Looks.UNIT),
    (Columns.CLASSES, "logits", Looks.NEARLY_SHARES),
    (Columns.LABELS, "logits", Looks.UNIT),
    (Columns.LABELS, "logits", Looks.NEARLY_SHARES),
    (Columns.LABELS, "probabilities", Looks.SHARES),
    (Columns.LABELS, "log_probabilities", Looks.LOG_SHARES),
}


def codes(values: Floats, kind: str, columns: Columns) -> list[str]:
    return [doubt.code for doubt in doubts(values, kind=kind, columns=columns)]


@pytest.mark.parametrize("what", Looks)
def test_values_look_like_what_they_are(what: Looks) -> None:
    assert looks(ANSWERS[what]) is what


def test_shares_rounded_in_half_precision_inside_the_graph_allow_no_claim() -> None:
    wide = softmax(np.random.default_rng(1).normal(size=(8, 150)), axis=1)

    assert looks(wide.astype(np.float16).astype(np.float32)) is Looks.NEARLY_SHARES


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_does_not_change_what_150_shares_look_like(dtype: type[np.floating]) -> None:
    wide = np.random.default_rng(1).normal(size=(8, 150))

    assert looks(softmax(wide, axis=1).astype(dtype)) is Looks.SHARES
    assert looks(log_softmax(wide, axis=1).astype(dtype)) is Looks.LOG_SHARES


def test_one_column_never_adds_up() -> None:
    assert looks(UNIT[:, :1]) is Looks.UNIT
    assert looks(np.ones((8, 1))) is Looks.UNIT


def test_the_logarithm_of_a_share_that_underflowed_is_one_still() -> None:
    assert looks(np.array([[-np.inf, 0.0], [np.log(0.5), np.log(0.5)]])) is Looks.LOG_SHARES


@pytest.mark.parametrize("what", Looks)
@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("columns", [Columns.CLASSES, Columns.LABELS])
def test_what_fits_passes_and_what_does_not_is_refused(columns: Columns, kind: str, what: Looks) -> None:
    found = doubts(ANSWERS[what], kind=kind, columns=columns)

    assert bool(found) == (what not in RIGHT[columns, kind])
    assert all(doubt.certain == ((columns, kind, what) not in DOUBTED) for doubt in found)
    assert all(doubt.sentence.endswith(".") and doubt.remedy.endswith(".") for doubt in found)


@pytest.mark.parametrize(
    ("what", "kind", "columns", "code"),
    [
        (Looks.SHARES, "logits", Columns.CLASSES, "double_softmax"),
        (Looks.LOG_SHARES, "logits", Columns.CLASSES, "log_softmax_as_logits"),
        (Looks.UNIT, "logits", Columns.CLASSES, "sigmoid_as_logits"),
        (Looks.UNIT, "probabilities", Columns.CLASSES, "sigmoid_as_softmax"),
        (Looks.SCORES, "probabilities", Columns.CLASSES, "not_probabilities"),
        (Looks.SHARES, "log_probabilities", Columns.CLASSES, "not_log_probabilities"),
        (Looks.SHARES, "logits", Columns.LABELS, "softmax_as_sigmoid"),
        (Looks.SHARES, "probabilities", Columns.LABELS, "softmax_as_sigmoid"),
        (Looks.UNIT, "logits", Columns.LABELS, "double_sigmoid"),
        (Looks.UNIT, "log_probabilities", Columns.LABELS, "not_log_probabilities"),
    ],
)
def test_each_mistake_has_its_name(what: Looks, kind: str, columns: Columns, code: str) -> None:
    assert codes(ANSWERS[what], kind, columns) == [code]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (SCORES[:, :1], "logits", []),
        (UNIT[:, :1], "logits", ["sigmoid_as_logits"]),
        (UNIT[:, :1], "probabilities", []),
        (SCORES[:, :1], "probabilities", ["not_probabilities"]),
        (np.log(UNIT[:, :1]), "log_probabilities", []),
        (SCORES[:, :1], "log_probabilities", ["not_log_probabilities"]),
        (UNIT[:, :1], "log_probabilities", ["not_log_probabilities"]),
    ],
)
def test_one_column_for_two_classes(values: Floats, kind: str, expected: list[str]) -> None:
    assert codes(values, kind, Columns.ONE) == expected


def test_rows_all_alike_say_nothing() -> None:
    assert codes(np.tile(SHARES[:1], (8, 1)), "logits", Columns.CLASSES) == []


def test_one_row_says_nothing() -> None:
    assert codes(SHARES[:1], "logits", Columns.CLASSES) == []


def test_rows_that_are_not_finite_are_doubted_and_the_others_still_judged() -> None:
    sick = SHARES.copy()
    sick[0, 0], sick[1, 1] = np.nan, np.inf

    found = doubts(sick, kind="logits", columns=Columns.CLASSES)

    assert [doubt.code for doubt in found] == ["non_finite", "double_softmax"]
    assert found[0].sentence.startswith("2 of 8")
    assert not found[0].certain


def test_rows_none_of_which_is_a_number_are_doubted_alone() -> None:
    assert codes(np.full((8, 5), np.nan), "logits", Columns.CLASSES) == ["non_finite"]


def test_the_logarithm_of_zero_is_no_mistake_among_log_probabilities() -> None:
    values = ANSWERS[Looks.LOG_SHARES].copy()
    values[0] = [0.0, *[-np.inf] * 4]

    assert codes(values, "log_probabilities", Columns.CLASSES) == []
    assert codes(values, "logits", Columns.CLASSES) == ["non_finite", "log_softmax_as_logits"]


def test_a_doubt_reads_as_its_sentence_and_its_remedy() -> None:
    (doubt,) = doubts(SHARES, kind="logits", columns=Columns.CLASSES)

    assert str(doubt) == f"{doubt.sentence} {doubt.remedy}"
