from pathlib import Path

import pytest

from softgate.errors import CardInvalid
from softgate.runtime.labels import read_labels


def write(folder: Path, content: str) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(content.encode("utf-8"))
    return path


def test_labels_keep_the_order_of_their_lines(tmp_path: Path) -> None:
    content = "transfer\nbalance\nà la carte\n転送\n"

    assert read_labels(write(tmp_path, content)) == (
        ("transfer", "balance", "à la carte", "転送"),
        content.encode(),
    )


def test_labels_are_strings_whatever_they_spell(tmp_path: Path) -> None:
    labels, _ = read_labels(write(tmp_path, "yes\nno\nnull\n1\n1.0\ntrue\n"))

    assert labels == ("yes", "no", "null", "1", "1.0", "true")


def test_the_last_line_may_lack_its_end(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "a\nb"))[0] == ("a", "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: got '', wanted a printable name of 1 to 128 characters"),
        ("a\n\nb\n", "line 2: got '', wanted"),
        ("a\n\n", "line 2: got '', wanted"),
        ("a\n   \n", "line 2: got '   ', wanted"),
        ("a\r\nb\r\n", r"line 1: got 'a\r', wanted"),
        ("a\nb\x00\n", r"line 2: got 'b\x00', wanted"),
        ("a\nb\tc\n", r"line 2: got 'b\tc', wanted"),
        ("a\n\x1b[31m\n", r"line 2: got '\x1b[31m', wanted"),
        ("\ufeffa\n", r"line 1: got '\ufeffa', wanted"),
        ("a\u2028b\n", r"line 1: got 'a\u2028b', wanted"),
        (f"a\n{'b' * 129}\n", "line 2: got 'bbbbbbbb"),
        ("a\nb\na\n", "line 3: 'a' stands on line 1 already."),
    ],
)
def test_a_line_that_is_no_label_is_named(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CardInvalid) as caught:
        read_labels(write(tmp_path, content))

    assert str(caught.value).startswith(f"{tmp_path / 'labels.txt'}, {message}")


def test_a_label_may_have_128_characters(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "é" * 128)) == (("é" * 128,), ("é" * 128).encode())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match=r"labels\.txt: there is no such file\. It holds one label per line"):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize("content", [b"caf\xe9\n", b"a\x00\xff"])
def test_a_file_that_is_no_utf_8_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)

    with pytest.raises(CardInvalid, match=r"labels\.txt: not a readable UTF-8 file"):
        read_labels(path)
