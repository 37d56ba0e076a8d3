"""Files of labelled examples, and what is said of those that are none."""

from pathlib import Path
from typing import Any

import pytest

from softgate.errors import DataInvalid
from softgate.workbench.examples import read_examples


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refusal(path: Path, **wanted: Any) -> str:
    """The sentence that refuses the data, without the path it starts with."""
    with pytest.raises(DataInvalid) as caught:
        read_examples(path, **wanted)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))
