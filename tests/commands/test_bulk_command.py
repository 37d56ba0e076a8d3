"""A file of rows, answered line by line as the server would."""

import csv
import json
import os
import pty
import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import flat, linear, mixed, picky, slow, write_model, write_text_model
from memory import peak_until_end
from servers import command, environment, served

SENTENCES = ("send money", "rain sun", "joke", "balance account, please", "laugh laugh send", 'a "joke"\nof two lines')


def run(*arguments: object, code: int = 0, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    ended = subprocess.run(
        command("predict", *arguments), capture_output=True, env=environment(), check=False, timeout=120, **options
    )
    assert ended.returncode == code, ended.stderr
    assert b"Traceback" not in ended.stderr
    return ended


def refusal(*arguments: object, code: int = 1) -> str:
    ended = run(*arguments, code=code)
    assert ended.stdout == b""
    return ended.stderr.decode().removeprefix("error ").rstrip()


def lines(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.splitlines()]


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def alike(found: Any, expected: Any) -> bool:
    """But for the last digits: a row's neighbours in a batch change the order of additions."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return bool(found == (pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else expected))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "words", name="words")


def test_lines_are_those_of_the_server_in_the_order_of_the_rows(words: Path, tmp_path: Path) -> None:
    rows = [SENTENCES[number % 6] + " sun" * (number % 11) for number in range(900)]
    output = tmp_path / "out.jsonl"
    tables = [
        write_csv(tmp_path / "rows.csv", [["id", "text", "label"], *([n, row, "x"] for n, row in enumerate(rows))]),
        write_lines(tmp_path / "rows.jsonl", rows),
        write_lines(tmp_path / "labelled.ndjson", [{"text": row, "label": "x"} for row in rows]),
        write_lines(tmp_path / "inputs.ndjson", [{"inputs": row, "labels": []} for row in rows]),
    ]
    with served(words) as server:
        expected = server.predict("words", inputs=rows, top_k=2).json()["predictions"]

    for table in tables:
        ended = run(words, "--input", table, "--output", output, "--top-k", 2)
        assert ended.stdout == b""
        assert ended.stderr.startswith(b"900 rows: ")
        assert alike(lines(output.read_bytes()), expected)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_pipes_at_both_ends(words: Path) -> None:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in SENTENCES)

    found = lines(run(words, "--input", "-", input=content).stdout)

    assert [one["label"] for one in found] == ["transfer", "weather", "joke", "balance", "joke", "joke"]


def test_texts_of_a_text_file(words: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(b"\xef\xbb\xbfsend money\r\nrain\njoke")

    found = lines(run(words, "--input", path).stdout)

    assert [one["label"] for one in found] == ["transfer", "weather", "joke"]


def test_a_cell_of_any_length_is_refused_for_its_row_alone(words: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", [["text"], ["rain"], ["rain " * 50_000], ["joke"]])

    found = lines(run(words, "--input", table, code=5).stdout)

    assert [one.get("label", one.get("code")) for one in found] == ["weather", "text_too_long", "joke"]


def test_columns_are_taken_by_name_and_others_passed_over(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "named", linear(np.eye(4, dtype=np.float32)), keys='columns = ["a", "b", "c", "d"]')
    table = write_csv(tmp_path / "rows.csv", [["d", "id", "c", "b", "a", "label"], [1, "x", 9, 2, 3, "y"]])
    objects = write_lines(tmp_path / "rows.jsonl", [{"a": 3, "b": 2, "c": 9, "d": 1}, {"inputs": [3, 2, 9, 1]}])

    for path in (table, objects):
        assert {one["label"] for one in lines(run(folder, "--input", path).stdout)} == {"weather"}


def test_numbers_and_strings_of_a_table(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "plain", linear(np.eye(4, dtype=np.float32)))
    table = write_csv(tmp_path / "rows.csv", [["w", "x", "y", "z"], [1, 2, 3, 9], [1, "many", 3, 9], [1, 2, 3]])
    found = lines(run(folder, "--input", table, code=5).stdout)
    assert [one.get("label", one.get("code")) for one in found] == ["joke", "invalid_input", "shape_mismatch"]
    assert [one.get("line") for one in found] == [None, 3, 4]

    columns = write_model(tmp_path / "mixed", mixed())
    objects = [{"age": [3], "plan": "pro", "vip": False, "visits": 9}, {"inputs": [3.0, "pro", True, 9]}]
    assert [one["label"] for one in lines(run(columns, "--input", write_lines(tmp_path / "m.jsonl", objects)).stdout)]


def test_images_by_path_beside_the_file(tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "models" / "digits"
    (tmp_path / "digit.png").write_bytes((folder / "digit.png").read_bytes())
    files = [
        write_csv(tmp_path / "rows.csv", [["path", "label"], ["digit.png", 3], ["nowhere.png", 3]]),
        write_lines(tmp_path / "rows.jsonl", [{"path": "digit.png"}, {"path": "nowhere.png"}]),
    ]
    (tmp_path / "rows.txt").write_text("digit.png\nnowhere.png\n")
    single = json.loads(run(folder, folder / "digit.png", "--json").stdout)["predictions"][0]

    for path in (*files, tmp_path / "rows.txt"):
        first, second = lines(run(folder, "--input", path, code=5).stdout)
        assert alike(first, single)
        assert second["code"] == "image_invalid"


def test_bad_rows_are_told_in_their_places_counted_and_exit_with_5(words: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    good = b'"rain"\n' * 500
    path.write_bytes(good + b'"secret\n\n{"secret": 1}\n' + good + b'"\xff"\n"' + b"x" * 40_000 + b'"\n')

    ended = run(words, "--input", path, "--output", output, code=5)

    found = lines(output.read_bytes())
    assert {one["line"]: one["code"] for one in found if "code" in one} == {
        501: "malformed_body",
        502: "malformed_body",
        503: "malformed_body",
        1004: "malformed_body",
        1005: "text_too_long",
    }
    assert len(found) == 1005
    assert b"secret" not in output.read_bytes()
    told = "; 5 rows refused (4 malformed_body, 1 text_too_long), the first in line 501; "
    assert told in ended.stderr.decode()


def test_rows_on_which_the_graph_fails_do_so_alone(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "picky", picky())
    path = write_csv(tmp_path / "rows.csv", [["index"], *([index % 4 if index % 50 else 9] for index in range(300))])

    found = lines(run(folder, "--input", path, code=5).stdout)

    assert [one.get("code") for one in found] == [None if index % 50 else "engine_failed" for index in range(300)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", b"", "holds no rows"),
        ("rows.csv", b"text\n", "holds no rows"),
        ("rows.jsonl", b"", "holds no rows"),
        ("rows.csv", b"label,sentence\na,b\n", "wanted text among others, each once"),
        ("rows.csv", b"text,text\na,b\n", "wanted text among others, each once"),
        ("rows.csv", b'text\nrain\n"open\n', "line 3: not CSV"),
        ("rows.xlsx", b"", "wanted one of .csv, .jsonl, .ndjson, .txt"),
        ("nowhere.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told_and_nothing_written(
    words: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path, output = tmp_path / name, tmp_path / "out.jsonl"
    if content is not None:
        path.write_bytes(content)

    assert said in refusal(words, "--input", path, "--output", output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either a row or --input"),
        (("rain", "--input", "rows.txt"), "either a row or --input"),
        (("--input", "rows.txt", "--profile", "none"), "profile"),
        (("--input", "rows.txt", "--temperature", "0"), "Expected a temperature from 0.05 to 20"),
        (("--input", "rows.txt", "--output", "rows.txt"), "got the input itself"),
        (("--input", "rows.txt", "--json"), "--json with a row alone"),
        (("rain", "--output", "rows.txt"), "--output with --input alone"),
    ],
)
def test_a_mistake_in_the_command_is_told(words: Path, tmp_path: Path, arguments: Sequence[str], said: str) -> None:
    (tmp_path / "rows.txt").write_text("rain\n")
    ended = run(words, *arguments, code=2, cwd=tmp_path)

    assert said in ended.stderr.decode()
    assert (tmp_path / "rows.txt").read_text() == "rain\n"


def test_a_full_disk_is_told_and_leaves_what_was_there(words: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "rows.txt", tmp_path / "out.jsonl"
    path.write_text("rain\n" * 5000)
    output.write_text("before\n")

    ended = run(
        words,
        *("--input", path, "--output", output),
        code=1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )

    assert ended.stderr.decode() == f"error {output}: cannot be written: File too large.\n"
    assert output.read_text() == "before\n"
    assert refusal(words, "--input", path, "--output", "/dev/full") == (
        "/dev/full: cannot be written: No space left on device."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "rows.txt", "words"]


def test_a_run_that_is_killed_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=0.01))
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    write_csv(path, [["a", "b", "c", "d"], *([1, 2, 3, 4] for _ in range(100_000))])
    process = subprocess.Popen(
        command("predict", folder, "--input", path, "--output", output), env=environment(), stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob(".out.jsonl.*")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert not output.exists()


def test_a_reader_that_leaves_ends_the_run(words: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("rain\n" * 20_000)
    process = subprocess.Popen(
        command("predict", words, "--input", path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()

    assert (process.wait(timeout=60), said) == (1, b"")


def test_a_terminal_sees_how_far_it_is(words: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("rain\n" * 3000)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("predict", words, "--input", path, "--output", tmp_path / "out.jsonl"),
        env=environment(TERM="xterm", COLUMNS="120"),
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        # How a terminal ends on Linux.
        pass
    os.close(ours)

    assert process.wait(timeout=60) == 0
    assert b"rows/s" in shown
    assert b"left" in shown
    assert b"3,000 rows" in shown


def peak(folder: Path, source: Path, output: Path) -> float:
    line = command("predict", folder, "--input", source, "--output", output)
    with subprocess.Popen(line, env=environment(), stderr=subprocess.DEVNULL) as process:
        found = peak_until_end(process)
    assert process.returncode == 0
    return found


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "flat", flat(np.float32, "batch", 4, gives=4))
    peaks = []
    # Several windows of rows each; 100 bytes kept of each would be seen. The least of two: a busy machine only adds.
    for n_rows in (30_000, 200_000):
        path = write_csv(tmp_path / f"{n_rows}.csv", [["a", "b", "c", "d"], *([n, 2, 3, 4] for n in range(n_rows))])
        peaks.append(min(peak(folder, path, tmp_path / "out.jsonl") for _ in range(2)))

    assert peaks[1] < peaks[0] + 12
