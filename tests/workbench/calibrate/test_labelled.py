"""Examples → logits and truth: through the served code, and refused where they do not fit."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from calibrating import DIGEST, LOGITS, TARGETS, examples, model, pairs
from softgate.errors import DataInvalid
from softgate.workbench.calibrate.labelled import OUT_OF_SCOPE, Labelled, label
from softgate.workbench.examples import Examples


def labelled(
    folder: Path, by: Examples, *, activation: str = "softmax", out_of_scope_label: str | None = None
) -> Labelled:
    toy = model(folder, activation=activation)
    return label(toy, by, out_of_scope_label=out_of_scope_label, progress=lambda _: None)


def test_rows_beyond_one_batch_are_run_in_order_and_reported(tmp_path: Path) -> None:
    toy, done = model(tmp_path / "toy", routing="[serving]\nmax_batch = 7"), list[int]()

    rows = label(toy, examples(LOGITS[:300].tolist(), TARGETS[:300]), out_of_scope_label=None, progress=done.append)

    assert_array_equal(rows.logits, LOGITS[:300])
    assert_array_equal(rows.truth, TARGETS[:300])
    assert rows.in_scope.all()
    assert done == [7] * 42 + [6]


def test_rows_out_of_scope_have_no_column(tmp_path: Path) -> None:
    data = Examples(LOGITS[:3].tolist(), [("joke",), ("oos",), ("transfer",)], DIGEST)

    rows = labelled(tmp_path / "toy", data, out_of_scope_label="oos")

    assert_array_equal(rows.truth, [3, OUT_OF_SCOPE, 0])
    assert_array_equal(rows.in_scope, [True, False, True])


def test_several_labels_are_a_matrix_and_none_is_a_row_like_others(tmp_path: Path) -> None:
    data = Examples(LOGITS[:3].tolist(), [("joke", "transfer"), (), ("oos",)], DIGEST)

    rows = labelled(tmp_path / "toy", data, activation="sigmoid", out_of_scope_label="oos")

    assert_array_equal(rows.truth, [[1, 0, 0, 1], [0] * 4, [0] * 4])
    assert rows.several
    assert rows.in_scope.all()


def test_logits_that_are_given_are_not_run_again(tmp_path: Path) -> None:
    rows = labelled(tmp_path / "toy", Examples((), examples().labels, DIGEST, logits=LOGITS * 2))

    assert_array_equal(rows.logits, LOGITS * 2)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ("refund",),
            r"^line 3: got the label 'refund', which labels\.txt does not hold; 1 such in all\. Rows of no label",
        ),
        ((), r"^line 3: got no label; 1 such in all\."),
        (
            ("transfer", "joke"),
            r"^line 3: got 2 labels, and the labels of this model exclude each other; 1 such in all",
        ),
    ],
)
def test_a_row_whose_labels_do_not_fit_is_refused_where_it_stands(
    names: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match=sentence):
        labelled(tmp_path / "toy", Examples([[0.0] * 4] * 2, [("joke",), names], "", places=["line 2", "line 3"]))


def test_an_unknown_label_among_several_is_refused(tmp_path: Path) -> None:
    data = Examples([[0.0] * 4], [("joke", "refund")], "")

    with pytest.raises(DataInvalid, match=r"^example 1: got the label 'refund', which labels\.txt does not hold\.$"):
        labelled(tmp_path / "toy", data, activation="sigmoid")


def test_a_label_of_the_model_cannot_mark_what_is_out_of_scope(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="'joke' is a label of the model"):
        labelled(tmp_path / "toy", examples(), out_of_scope_label="joke")


def test_rows_that_are_all_out_of_scope_are_refused(tmp_path: Path) -> None:
    data = Examples([[0.0] * 4] * 2, [("oos",)] * 2, "")

    with pytest.raises(DataInvalid, match=r"^All 2 rows are out of scope; wanted rows of the model's labels\.$"):
        labelled(tmp_path / "toy", data, out_of_scope_label="oos")


def test_a_row_that_the_model_does_not_take_is_named_by_its_place(tmp_path: Path) -> None:
    rows = [*LOGITS.tolist()[:99], [1.0]]
    data = Examples(rows, examples().labels[:100], DIGEST, places=[f"line {place + 2}" for place in range(100)])

    with pytest.raises(DataInvalid, match=r"^line 101: Expected 4 features per row; this row has 1\.$"):
        labelled(tmp_path / "toy", data)


@pytest.mark.parametrize(
    ("logits", "sentence"),
    [
        (LOGITS[:, :3], r"^Got logits of shape \(1200, 3\), wanted one row per example and one column per label"),
        (LOGITS[:7], r"^Got logits of shape \(7, 4\)"),
        (np.where(np.arange(4) == 2, np.nan, LOGITS), r"^example 1: got a logit that is NaN or infinite, in 1200 rows"),
    ],
)
def test_logits_that_do_not_fit_are_refused(logits: np.ndarray, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=sentence):
        labelled(tmp_path / "toy", Examples((), examples().labels, DIGEST, logits=logits))


def test_a_part_of_the_rows_keeps_both_together() -> None:
    held = np.array([[name in names for name in ("transfer", "joke")] for names in pairs().labels])

    part = Labelled(LOGITS[:, :2], held).take(np.array([5, 3]))

    assert_array_equal(part.logits, LOGITS[[5, 3], :2])
    assert_array_equal(part.truth, held[[5, 3]])
