"""Labels and numbers as one JSON object: as Python's own writer has it, as machine code and as Python."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.policy.label_keys import LabelKeys

LABELS = ["", "a", 'say "hi", or\n:', "größe", "日本", "\U0001f600", "\\", "\x00"]
KEYS = LabelKeys(LABELS)
columns = st.lists(st.integers(0, len(LABELS) - 1), unique=True)
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(columns, st.data())
def test_labels_have_their_numbers_in_the_order_of_the_columns(chosen: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(finite, min_size=len(chosen), max_size=len(chosen)))
    found = KEYS.object(np.array(chosen, dtype=np.intp), orjson.dumps(values))

    expected = dict(zip([LABELS[column] for column in chosen], values, strict=True))
    assert [*json.loads(found).items()] == [*expected.items()]
    assert orjson.loads(found) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, unique=True))
def test_any_label(labels: list[str]) -> None:
    order = np.arange(len(labels))[::-1].copy()
    found = LabelKeys(labels).object(order, orjson.dumps(order.tolist()))

    assert json.loads(found) == {labels[column]: column for column in order.tolist()}


def test_ten_thousand() -> None:
    labels = [f"label {place}" for place in range(10_000)]
    random = np.random.default_rng(0)
    order, values = random.permutation(10_000), random.random(10_000)
    numbers = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)

    expected = orjson.dumps(
        {labels[column]: value for column, value in zip(order.tolist(), values.tolist(), strict=True)}
    )
    assert LabelKeys(labels).object(order, numbers) == expected


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ([], b"[1]"),
        ([0], b"[]"),
        ([0], b"[1,2]"),
        ([0, 1], b"[]"),
        ([0, 1], b"[1]"),
        ([0, 1], b"[1,2,3]"),
        ([0, 1], b"[1,2,3,4,5,6,7,8,9]"),
    ],
)
def test_a_number_too_few_or_too_many_is_refused(chosen: list[int], numbers: bytes) -> None:
    with pytest.raises(ValueError, match="number"):
        KEYS.object(np.array(chosen, dtype=np.intp), numbers)


def test_columns_may_be_a_view() -> None:
    assert KEYS.object(np.array([1, 0])[::-1], b"[1,2]") == b'{"":1,"a":2}'


@pytest.mark.parametrize("column", [len(LABELS), -1, -len(LABELS) - 1, 2**62, -(2**63)])
def test_a_column_of_no_label_is_refused(column: int) -> None:
    with pytest.raises(IndexError):
        KEYS.object(np.array([0, column]), b"[1,2]")
