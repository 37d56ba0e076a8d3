import hashlib
import os
from pathlib import Path

import pytest

from data_files import refusal, write
from pictures import encoded, in_base64, noise
from softgate.errors import DataInvalid
from softgate.workbench.examples import read_examples, read_rows

WANTED = "wanted nothing but .png, .jpg or .jpeg files."
NAMES = ["3 b/1.png", "3/1.png", "3/10.PNG", "3/2.jpg", "cat/x.jpeg"]


def folder(path: Path, names: list[str] = NAMES) -> Path:
    # Written backwards: the order is that of names, not that of the disk.
    for seed, name in reversed(list(enumerate(names))):
        kind = "PNG" if name.lower().endswith("png") else "JPEG"
        write(path, name, encoded(noise(8, 8, seed=seed), kind))
    return path


def test_images_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    examples = read_examples(folder(tmp_path))

    assert list(examples.rows) == [in_base64((tmp_path / name).read_bytes()) for name in NAMES]
    assert examples.labels == [("3 b",), ("3",), ("3",), ("3",), ("cat",)]
    assert examples.places == NAMES
    assert list(read_rows(tmp_path)) == list(examples.rows)


def test_the_digest_is_that_of_what_sha256sum_prints(tmp_path: Path) -> None:
    lines = [f"{hashlib.sha256((folder(tmp_path) / name).read_bytes()).hexdigest()}  {name}\n" for name in NAMES]

    assert read_examples(tmp_path).sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_digest_changes_with_a_name_and_with_a_content(tmp_path: Path) -> None:
    digests = {read_examples(folder(tmp_path)).sha256}
    (tmp_path / "3" / "1.png").rename(tmp_path / "3" / "0.png")
    digests.add(read_examples(tmp_path).sha256)
    write(tmp_path, "3/0.png", b"")
    digests.add(read_examples(tmp_path).sha256)

    assert len(digests) == 3


def test_an_image_is_read_when_it_is_asked_for_and_a_slice_reads_none(tmp_path: Path) -> None:
    rows = read_examples(folder(tmp_path)).rows
    later = encoded(noise(8, 8, seed=9))
    (tmp_path / "3" / "2.jpg").write_bytes(later)
    (tmp_path / "3 b" / "1.png").unlink()

    assert (len(rows), len(rows[::2]), rows[1:][-2]) == (5, 3, in_base64(later))
    with pytest.raises(DataInvalid, match=r"3 b/1\.png: cannot be read: No such file or directory\.$"):
        rows[0]
    with pytest.raises(IndexError):
        rows[5]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    for name in (".DS_Store", ".cache/1.txt", "3/.DS_Store"):
        write(folder(tmp_path), name, b"")

    assert read_examples(tmp_path).places == NAMES


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], ": got a folder without folders, wanted one per label with .png, .jpg or .jpeg files in it."),
        (["1.png"], ": got the file '1.png', wanted nothing but a folder per label."),
        (["3/1.png", "notes.txt"], ": got the file 'notes.txt', wanted nothing but a folder per label."),
        (["3/1.png", "4/notes.txt"], f"/4: got 'notes.txt', {WANTED}"),
        (["3/1.png", "3/1.gif"], f"/3: got '1.gif', {WANTED}"),
        (["3/1.png", "3/more.png/1.png"], f"/3: got 'more.png', {WANTED}"),
        (["4/.hidden"], "/4: holds no images; wanted .png, .jpg or .jpeg files of the label '4'."),
        ([" /1.png"], "/ /1.png: got the label ' ', wanted a name."),
    ],
)
def test_what_is_no_image_of_a_label_is_refused_by_name(names: list[str], message: str, tmp_path: Path) -> None:
    for name in names:
        write(tmp_path, name, b"")

    assert refusal(tmp_path) == message


def test_a_pipe_and_a_link_to_nothing_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(folder(tmp_path) / "3" / "5.png")
    assert refusal(tmp_path) == f"/3: got '5.png', {WANTED}"
    (tmp_path / "3" / "5.png").unlink()
    (tmp_path / "3" / "5.png").symlink_to("nowhere")
    assert refusal(tmp_path) == f"/3: got '5.png', {WANTED}"


def test_a_link_to_an_image_is_one(tmp_path: Path) -> None:
    (folder(tmp_path) / "3" / "5.png").symlink_to("1.png")

    assert "3/5.png" in read_examples(tmp_path).places


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)

    def forbidden(path: Path, *_: object) -> None:
        # As it is for anyone but root, whom no mode keeps out.
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", forbidden)

    assert refusal(tmp_path).endswith(".png: cannot be read: Permission denied.")
