"""Lines come out as they went in, however a body was cut on its way."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.runtime.lines import Line, Lines, grouped

CONTENTS = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" ")), max_size=20)


def cut(pieces: list[bytes], limit: int = 100) -> list[Line]:
    lines = Lines(limit=limit)
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.rest())


def parted(content: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:stop] for start, stop in pairwise(bounds)]


@given(contents=CONTENTS, ends=st.booleans(), places=st.lists(st.integers(min_value=0), max_size=8))
def test_lines_do_not_depend_on_where_the_pieces_end(contents: list[bytes], ends: bool, places: list[int]) -> None:
    whole = b"\n".join(contents) + (b"\n" if ends and contents else b"")
    # Behind the last line feed there is no line, unless it holds something.
    expected = contents if ends or not contents or contents[-1] else contents[:-1]

    found = cut(parted(whole, places))

    assert found == [Line(number, content) for number, content in enumerate(expected, start=1)]


@given(contents=CONTENTS, places=st.lists(st.integers(min_value=0), max_size=8), limit=st.integers(0, 12))
def test_a_line_above_the_limit_is_none_and_those_after_it_are_whole(
    contents: list[bytes], places: list[int], limit: int
) -> None:
    whole = b"".join(content + b"\n" for content in contents)

    found = [line.content for line in cut(parted(whole, places), limit)]

    assert found == [content if len(content) <= limit else None for content in contents]


def test_a_line_above_the_limit_is_not_held() -> None:
    lines = Lines(limit=10)
    for _ in range(1000):
        assert list(lines.feed(b"x" * 1000)) == []
        assert len(lines._held) <= 10

    assert list(lines.feed(b"\nnext\n")) == [Line(1, None), Line(2, b"next")]


@given(
    sizes=st.lists(st.none() | st.integers(0, 9), max_size=30),
    max_lines=st.integers(1, 5),
    max_bytes=st.integers(0, 20),
)
def test_batches_hold_all_lines_and_no_more_than_they_may(
    sizes: list[int | None], max_lines: int, max_bytes: int
) -> None:
    lines = [Line(number, None if size is None else b"x" * size) for number, size in enumerate(sizes, start=1)]

    batches = list(grouped(lines, max_lines=max_lines, max_bytes=max_bytes))

    assert [line for batch in batches for line in batch] == lines
    for batch in batches:
        assert 1 <= len(batch) <= max_lines
        assert len(batch) == 1 or sum(len(line.content or b"") for line in batch) <= max_bytes


@pytest.mark.parametrize("content", [b"", b"\n", b"a\r\n", b"\xff"])
def test_nothing_but_the_line_feed_is_taken_away(content: bytes) -> None:
    assert b"".join((line.content or b"") + b"\n" for line in cut([content])).rstrip(b"\n") == content.rstrip(b"\n")
