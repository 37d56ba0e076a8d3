import numpy as np
import pytest
from numpy.typing import NDArray

from softgate.numerics.targets import check_exclusive


@pytest.mark.parametrize(
    ("logits", "targets", "sentence"),
    [
        (np.zeros(3), [0], r"Expected logits of shape \(n_rows, n_classes\); got shape \(3,\)\."),
        (np.zeros((0, 3)), [], r"Expected at least one row and one class of logits; got shape \(0, 3\)\."),
        (np.zeros((2, 1)), [0, 0], r"Expected at least two classes; got one, "),
        (np.array([[0, np.nan], [1, 2]]), [0, 0], r"Expected finite logits; got NaN or infinity in 1 of 2 rows\."),
        (np.array([[0, np.inf]]), [0], r"Expected finite logits; got NaN or infinity in 1 of 1 rows\."),
        (np.eye(10), [0] * 9, r"Expected one target per row; got 10 rows and 9 targets\."),
        (np.eye(2), [0, 2], r"Expected targets from 0 to 1; got 0 to 2\."),
        (np.eye(2), [0, -1], r"Expected targets from 0 to 1; got -1 to 0\."),
        (np.eye(2), [0.0, 1.0], r"Expected targets to be integers; got float64\."),
        (np.eye(2), [[0], [1]], r"Expected targets of shape \(n_rows,\); got shape \(2, 1\)\."),
        (np.ones((3, 2)), [0, 1, 1], r"Expected logits that differ within a row; got none"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_got_and_wanted(
    logits: NDArray[np.float64], targets: list[float], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_exclusive(logits, np.array(targets) if targets else np.empty(0, np.intp))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_what_fits_passes_in_every_dtype_of_integers(dtype: type[np.integer]) -> None:
    check_exclusive(np.eye(3, dtype=np.float16), np.array([0, 1, 2], dtype))
