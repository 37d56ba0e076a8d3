import json
from pathlib import Path

import numpy as np
import pytest

from graphs import linear, write_model
from softgate.errors import DataInvalid
from softgate.runtime.repository import read_bundle
from softgate.workbench.bench.bodies import MADE_UP_ROWS, MOST_BODIES, of_bundle, of_file

ROOT = Path(__file__).parents[3]


def test_golden_rows_come_first() -> None:
    bundle = read_bundle(ROOT / "models" / "clinc150")
    assert bundle.golden is not None

    found, what = of_bundle(bundle)

    assert [json.loads(body) for body in found] == [{"inputs": row} for row in bundle.golden.rows]
    assert what == f"{len(bundle.golden.rows)} golden rows"


def test_without_golden_rows_some_are_made_up(tmp_path: Path) -> None:
    bundle = read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32))))

    found, what = of_bundle(bundle)

    assert what == f"{MADE_UP_ROWS} made-up rows"
    assert len({json.dumps(json.loads(body)) for body in found}) == MADE_UP_ROWS
    assert all(len(json.loads(body)["inputs"]) == 4 for body in found)


def test_a_file_may_hold_rows_and_whole_bodies(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('[1, 2]\n\n"é\u2028"\n{"inputs": [[1], [2]], "top_k": 1}\n{"age": 3}\n', encoding="utf-8")

    assert [json.loads(body) for body in of_file(file)] == [
        {"inputs": [1, 2]},
        {"inputs": "é\u2028"},
        {"inputs": [[1], [2]], "top_k": 1},
        {"inputs": {"age": 3}},
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got no line, wanted a row"),
        (b"1\nmove money\n", "line 2 is not JSON"),
        (b"\xff", "cannot be read"),
        (b"1\n" * (MOST_BODIES + 1), "got more than 1,000 rows"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)

    with pytest.raises(DataInvalid, match=said):
        of_file(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="cannot be read: No such file"):
        of_file(tmp_path / "nothing.jsonl")
