import hashlib
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data_files import refusal, write
from softgate.errors import DataInvalid
from softgate.workbench.examples import arrays, read_examples

NAMES = ("cat", "dog", "owl")
LOGITS = np.array([[1.5, 0, -1], [0, np.nan, 2]])


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def npy(array: NDArray[Any]) -> bytes:
    with io.BytesIO() as file:
        np.save(file, array)
        return file.getvalue()


def zipped(folder: Path, *, logits: bytes, labels: bytes, packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(folder / "data.npz", "w", packing) as archive:
        archive.writestr("logits.npy", logits)
        archive.writestr("labels.npy", labels)
    return folder / "data.npz"


def test_indices_stand_for_the_labels_of_the_model(tmp_path: Path) -> None:
    path = save(tmp_path, logits=LOGITS, labels=np.array([2, 0]), more=np.zeros(9))

    examples = read_examples(path, labels=NAMES)

    assert examples.logits is not None
    np.testing.assert_array_equal(examples.logits, LOGITS)
    assert (len(examples.rows), examples.labels) == (0, [("owl",), ("cat",)])
    assert examples.places == ["logits[0]", "logits[1]"]
    assert examples.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_labels_may_be_names_known_or_not(tmp_path: Path) -> None:
    path = save(tmp_path, logits=LOGITS, labels=np.array(["dog", "neither"]))

    assert read_examples(path, labels=NAMES).labels == read_examples(path).labels == [("dog",), ("neither",)]


def test_several_labels_are_a_row_of_0_and_1(tmp_path: Path) -> None:
    held = np.array([[1, 0, 1], [0, 0, 0]])
    for dtype in (np.int64, np.uint8, np.bool_, np.float32):
        path = save(tmp_path, logits=LOGITS, labels=held.astype(dtype))

        assert read_examples(path, labels=NAMES, multi_label=True).labels == [("cat", "owl"), ()]


def test_one_label_a_row_will_do_though_several_may_hold(tmp_path: Path) -> None:
    path = save(tmp_path, logits=LOGITS, labels=np.array([2, 0]))

    assert read_examples(path, labels=NAMES, multi_label=True).labels == [("owl",), ("cat",)]


def test_minus_one_is_the_label_for_what_is_out_of_scope(tmp_path: Path) -> None:
    path = save(tmp_path, logits=LOGITS, labels=np.array([-1, 1], dtype=np.int8))

    assert read_examples(path, labels=NAMES, out_of_scope_label="oos").labels == [("oos",), ("dog",)]
    assert refusal(path, labels=NAMES) == (
        ", labels[0]: got -1, which is out of scope; wanted the name of the label for such rows too."
    )


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
def test_logits_of_any_precision_come_in_the_machines_order(dtype: str, tmp_path: Path) -> None:
    logits = read_examples(save(tmp_path, logits=LOGITS.astype(dtype), labels=np.array([0, 1])), labels=NAMES).logits

    assert logits is not None
    assert logits.dtype == np.dtype(dtype).newbyteorder("=")
    assert logits.dtype.isnative
    np.testing.assert_array_equal(logits, LOGITS)


def test_arrays_may_be_compressed_and_in_the_order_of_columns(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", logits=np.asfortranarray(LOGITS), labels=np.array([0, 1]))

    logits = read_examples(tmp_path / "data.npz", labels=NAMES).logits

    assert logits is not None
    np.testing.assert_array_equal(logits, LOGITS)


FLOATS = "wanted float16, float32 or float64 and shape (rows, 3)."
INDICES = "wanted integers or strings of shape (rows,)"


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (LOGITS[:, :2], [0, 1], f": got logits of float64 and shape (2, 2), {FLOATS}"),
        (LOGITS[0], [0, 1], f": got logits of float64 and shape (3,), {FLOATS}"),
        (LOGITS[:0], [], f": got logits of float64 and shape (0, 3), {FLOATS}"),
        (np.zeros((2, 3), int), [0, 1], f": got logits of int64 and shape (2, 3), {FLOATS}"),
        (np.zeros((2, 3), complex), [0, 1], f": got logits of complex128 and shape (2, 3), {FLOATS}"),
        (np.zeros((2, 3), np.longdouble), [0, 1], f": got logits of float128 and shape (2, 3), {FLOATS}"),
        (LOGITS, [0, 1, 2], ": got labels of shape (3,) for 2 rows of logits, wanted 2."),
        (LOGITS, 0, ": got labels of shape () for 2 rows of logits, wanted 2."),
        (LOGITS, [0.0, 1.0], f": got labels of float64 and shape (2,), {INDICES}."),
        (LOGITS, [True, False], f": got labels of bool and shape (2,), {INDICES}."),
        (LOGITS, [b"cat", b"dog"], f": got labels of |S3 and shape (2,), {INDICES}."),
        (LOGITS, [[1, 0, 0]] * 2, f": got labels of int64 and shape (2, 3), {INDICES}."),
        (LOGITS, [1, 3], ", labels[1]: got 3, wanted 0 to 2."),
        (LOGITS, [-2, 0], ", labels[0]: got -2, wanted 0 to 2."),
        (LOGITS, np.array([0, 2**64 - 1], np.uint64), ", labels[1]: got 18446744073709551615, wanted 0 to 2."),
        (LOGITS, ["cat", ""], ", labels[1]: got the label '', wanted a name."),
    ],
)
def test_arrays_of_another_form_are_refused(logits: Any, labels: Any, message: str, tmp_path: Path) -> None:
    assert refusal(save(tmp_path, logits=logits, labels=np.array(labels)), labels=NAMES) == message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 0, 0], [0, 2, 0]], ", labels[1, 1]: got 2, wanted 0 or 1."),
        ([[1, 0, 0], [0, np.nan, 0]], ", labels[1, 1]: got nan, wanted 0 or 1."),
        (
            [[1, 0], [0, 1]],
            f": got labels of int64 and shape (2, 2), {INDICES}, or 0 and 1 of shape (rows, 3).",
        ),
    ],
)
def test_a_matrix_of_something_else_is_refused(labels: Any, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, logits=LOGITS, labels=np.array(labels))

    assert refusal(path, labels=NAMES, multi_label=True) == message


def test_indices_want_the_names_of_labels(tmp_path: Path) -> None:
    assert refusal(save(tmp_path, logits=LOGITS, labels=np.array([0, 1]))) == (
        ", labels[0]: got 0, wanted names, as the model's are not known."
    )


@pytest.mark.parametrize(
    ("names", "got"), [((), "[]"), (("logits",), "['logits']"), (("labels", "scores"), "['labels', 'scores']")]
)
def test_arrays_that_are_missing_are_named(names: tuple[str, ...], got: str, tmp_path: Path) -> None:
    path = save(tmp_path, **dict.fromkeys(names, np.zeros(2)))

    assert refusal(path) == f": got the arrays {got}, wanted logits and labels."


@pytest.mark.parametrize("content", [b"", b"text,label\n", b"PK\x03\x04", pickle.dumps([1])])
def test_a_file_that_is_no_zip_is_refused(content: bytes, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.npz", content)) == (
        ": not a readable .npz file, as numpy.savez writes it: File is not a zip file."
    )


def test_python_objects_are_refused_unread(tmp_path: Path) -> None:
    path = save(tmp_path, logits=LOGITS, labels=np.array(["cat", None], dtype=object))

    assert refusal(path) == ", labels: got Python objects, wanted an array of numbers or strings."


def test_more_than_a_machine_holds_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, logits = tmp_path / "data.npz", np.zeros((100_000, 3))
    zipped(tmp_path, logits=npy(logits), labels=npy(np.zeros(100_000, int)), packing=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(arrays, "MAX_BYTES", 1_000_000)

    assert path.stat().st_size < 20_000
    assert refusal(path) == ": got 3200256 bytes of arrays, wanted at most 1000000."


def test_a_header_that_says_more_than_follows_is_refused_before_room_is_made(tmp_path: Path) -> None:
    # The header is padded with spaces, so that a longer shape fits into as many bytes.
    content = npy(LOGITS).replace(b"(2, 3), }" + b" " * 12, b"(2000000000000, 3), }")
    assert len(content) == len(npy(LOGITS))

    assert refusal(zipped(tmp_path, logits=content, labels=npy(np.array([0, 1])))) == (
        ", logits: got 176 bytes, wanted 48000000000128 for the shape (2000000000000, 3) of float64."
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=st.data())
def test_no_damage_fails_but_by_a_refusal(data: st.DataObject, tmp_path: Path) -> None:
    logits, labels = npy(LOGITS), npy(np.array([0, 1]))
    whole = data.draw(st.booleans())
    content = bytearray(zipped(tmp_path, logits=logits, labels=labels).read_bytes() if whole else logits)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(content)
    path = write(tmp_path, "data.npz", damaged) if whole else zipped(tmp_path, logits=damaged, labels=labels)

    try:
        read_examples(path, labels=NAMES)
    except Exception as exc:
        assert isinstance(exc, DataInvalid)  # noqa: PT017 - most damage is refused, some is none
