"""Rows as JSON, and batches of them."""

import json
from collections import deque
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.client.rows import batches, encoded, in_order
from softgate.errors import InvalidInput, NonFiniteInput


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("größe 😀", "größe 😀"),
        (b"\x89PNG\xff", "iVBOR/8="),
        (bytearray(b"\x89PNG\xff"), "iVBOR/8="),
        ([1, 2.5, None], [1, 2.5, None]),
        (("a", "b"), ["a", "b"]),
        (range(3), [0, 1, 2]),
        ({"age": 3, "plan": "pro"}, {"age": 3, "plan": "pro"}),
        (MappingProxyType({"age": np.int64(3)}), {"age": 3}),
        (np.array([1.5, 2]), [1.5, 2]),
        (np.eye(2, dtype=np.int8), [[1, 0], [0, 1]]),
        ([np.float32(0.5), np.float64(0.25), np.bool_(True), np.str_("a")], [0.5, 0.25, True, "a"]),
        ({"scores": np.array([1, 2])}, {"scores": [1, 2]}),
        ([float("nan"), 1.0], [None, 1.0]),
        (np.array([[np.nan, 1.0]]), [[None, 1.0]]),
        ({"age": np.float32("nan"), "image": b"\x89"}, {"age": None, "image": "iQ=="}),
        (MappingProxyType({"age": (float("nan"),)}), {"age": [None]}),
    ],
    ids=repr,
)
def test_a_row_is_written_as_the_api_takes_it(row: Any, wanted: Any) -> None:
    assert json.loads(encoded(row)) == wanted


def test_a_text_keeps_its_letters() -> None:
    assert encoded("größe") == '"größe"'.encode()


@pytest.mark.parametrize("row", [[float("inf")], np.array([1, -np.inf]), {"age": float("inf")}], ids=repr)
def test_an_infinity_has_no_form(row: Any) -> None:
    with pytest.raises(NonFiniteInput):
        encoded(row)


@pytest.mark.parametrize("row", [{1}, object(), [float("nan"), object()]], ids=["set", "object", "beside NaN"])
def test_what_is_no_row_is_refused(row: Any) -> None:
    with pytest.raises(InvalidInput, match="Expected texts, numbers, lists, mappings or bytes in a row; got "):
        encoded(row)


def test_what_json_has_no_form_for_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    rows: list[Any] = [{("a", "b"): 1}, endless, [10**5000]]
    for row in rows:
        with pytest.raises(InvalidInput, match="Expected a row that JSON has a form for"):
            encoded(row)


@given(st.lists(st.text(max_size=8)), st.integers(1, 9), st.integers(1, 40))
def test_batches_hold_every_row_once_in_order_and_within_both_bounds(
    rows: list[str], size: int, most_bytes: int
) -> None:
    found = list(batches(iter(rows), size=size, most_bytes=most_bytes))

    assert [json.loads(row) for batch in found for row in batch.rows] == rows
    assert [place for batch in found for place in batch.places] == list(range(len(rows)))
    for batch in found:
        assert 1 <= len(batch.rows) <= size
        assert len(batch.rows) == 1 or len(b",".join(batch.rows)) <= most_bytes


def test_a_batch_is_given_when_it_is_full() -> None:
    def endless() -> Any:
        yield from ("a", "b")
        raise AssertionError("Nothing more is needed.")

    batch = next(batches(endless(), size=2))

    assert batch.rows == [b'"a"', b'"b"']


def test_a_row_that_cannot_be_written_ends_the_batches_in_its_place() -> None:
    rows: list[Any] = ["a", "b", {1}, "c"]

    first, last = batches(rows, size=64)

    assert (first.places, first.failure) == (range(2), None)
    assert last.places == range(2, 3)
    assert isinstance(last.failure, InvalidInput)


@given(st.lists(st.text(max_size=3)), st.integers(1, 5))
def test_no_more_than_so_many_are_started_and_not_given(rows: list[str], at_once: int) -> None:
    started: deque[int] = deque()
    most = 0

    def start(batch: Any) -> int:
        nonlocal most
        most = max(most, len(started) + 1)
        return int(batch.start)

    given_back = list(in_order(batches(rows, size=1), start, started=started, at_once=at_once))

    assert given_back == list(range(len(rows)))
    assert most == min(at_once, len(rows))
