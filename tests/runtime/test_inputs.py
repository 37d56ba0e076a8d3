"""One suite over all kinds of input: what holds for each, whatever its rows are."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from graphs import (
    LABELS,
    bag_of_tokens,
    bag_of_words,
    flat,
    load_classifier,
    looked_up,
    mixed,
    word_tokenizer,
    write_model,
)
from softgate.errors import InvalidInput
from softgate.policy.classifier import Classifier
from softgate.runtime.inputs import INPUTS, Input
from softgate.runtime.session import Session
from softgate.types import Rows, TensorSpec
from softgate.web.protocols.native import decode_inputs


@dataclass(frozen=True)
class Example:
    kind: str
    model: bytes
    keys: str = ""
    """Lines of the card's [input]."""
    tokenizer: str | None = None
    fewer: bool = False
    """Its values are too few for many different rows."""


EXAMPLES: Mapping[str, Example] = {
    "a picture": Example("image", flat(np.float32, "batch", 1, 2, 2)),
    "pictures of bytes, one at a time": Example("image", flat(np.uint8, 1, 2, 2, 1)),
    "float16": Example("tensor", flat(np.float16, "batch", 4)),
    "float32 with names": Example("tensor", flat(np.float32, "batch", 4), 'columns = ["a", "b", "c", "d"]'),
    "float64 that may be missing": Example("tensor", flat(np.float64, "batch", 4), "missing = true"),
    "int8": Example("tensor", flat(np.int8, "batch", 4)),
    "int32": Example("tensor", flat(np.int32, "batch", 4)),
    "int64, four rows at a time": Example("tensor", flat(np.int64, 4, 4)),
    "uint8, one row at a time": Example("tensor", flat(np.uint8, 1, 4)),
    "bool": Example("tensor", flat(np.bool_, "batch", 4)),
    "lists of lists": Example("tensor", flat(np.float32, "batch", 2, 2)),
    "lists of lists of lists": Example("tensor", flat(np.int64, "batch", 1, 2, 2)),
    "columns": Example("tensor", mixed()),
    "columns that may be missing": Example("tensor", mixed(), "missing = true"),
    "a string": Example("text", looked_up("batch")),
    "strings in a column, three at a time": Example("text", looked_up(3, 1)),
    "tokens": Example("text", bag_of_words(), tokenizer=word_tokenizer()),
    "tokens, masked and typed": Example("text", bag_of_tokens(), tokenizer=word_tokenizer()),
    "tokens of one width": Example(
        "text", bag_of_tokens(batch=2, width=16, dtype=np.int32), tokenizer=word_tokenizer()
    ),
}
N_ROWS = 6

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(
        [1e39, 2**31, 2**63, -(2**63) - 1, 10**400, "\ud800", "\x00", "1", b"1", "data:image/png;base64,"]
    )
)
# What JSON can say, and some of what it cannot.
hostile = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["a", "b", "c", "d", "age", "plan", "vip", "visits", "other"]), inner, max_size=6
        )
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Classifier]]:
    folder = tmp_path_factory.mktemp("kinds")
    loaded = {}
    for number, (name, example) in enumerate(EXAMPLES.items()):
        path = folder / str(number)
        write_model(path, example.model, kind=example.kind, keys=example.keys, tokenizer=example.tokenizer)
        loaded[name] = load_classifier(path)
    yield loaded
    for classifier in loaded.values():
        classifier.close()


@pytest.fixture(params=EXAMPLES)
def classifier(request: pytest.FixtureRequest, classifiers: Mapping[str, Classifier]) -> Classifier:
    return classifiers[request.param]


@pytest.fixture
def way(classifier: Classifier) -> Input:
    return classifier.model.input


def samples(way: Input, n_rows: int = N_ROWS) -> Sequence[Any]:
    found = way.samples(n_rows)
    assert found is not None, "Every example has a shape that is known."
    return found


def specs(classifier: Classifier) -> Sequence[TensorSpec]:
    return Session(classifier.model.bundle.model.content, threads=1).inputs


def same(left: Rows, right: Rows) -> bool:
    return repr(np.asarray(left.values).tolist()) == repr(np.asarray(right.values).tolist())


@pytest.mark.parametrize("kind", INPUTS)
def test_every_kind_has_an_example_here(kind: str) -> None:
    assert kind in {example.kind for example in EXAMPLES.values()}, (
        f"INPUTS has the kind {kind}, of which EXAMPLES in {__file__} has none: add one, so that this suite covers it."
    )


def test_samples_are_so_many_the_same_at_every_call_and_the_first_of_more(way: Input) -> None:
    assert [len(samples(way, n_rows)) for n_rows in (1, 2, N_ROWS)] == [1, 2, N_ROWS]
    assert samples(way) == samples(way)
    assert samples(way)[:2] == samples(way, 2)


def test_no_two_samples_are_alike(way: Input) -> None:
    assert len({repr(row) for row in samples(way)}) == N_ROWS


def test_samples_are_rows_of_json_as_clients_send_them(way: Input) -> None:
    rows = samples(way)

    for sent, wanted in ((rows, rows), (rows[0], rows[:1]), ([rows[0]], rows[:1])):
        decoded = decode_inputs(json.dumps(sent).encode(), way)
        assert len(decoded) == len(wanted)
        assert same(way.check(decoded), way.check(wanted))


def test_checked_rows_become_what_the_graph_takes(classifier: Classifier, way: Input) -> None:
    rows = way.check(samples(way))

    feed = way.feed(rows)

    assert len(rows) == N_ROWS
    assert feed.keys() == {spec.name for spec in specs(classifier)}
    for spec in specs(classifier):
        array = feed[spec.name]
        assert array.dtype == spec.dtype
        assert array.flags.c_contiguous
        assert len(array) == N_ROWS
        assert array.ndim == len(spec.shape)
        assert all(wanted in (None, size) for wanted, size in zip(spec.shape[1:], array.shape[1:], strict=True))


def test_rows_are_parted_and_joined_without_a_change(way: Input) -> None:
    rows = way.check(samples(way))
    parts = [Rows(rows.values[start : start + 2]) for start in range(0, N_ROWS, 2)]

    assert same(Rows.join(parts), rows)
    assert same(Rows.join([way.check([row]) for row in samples(way)]), rows)


def test_a_row_gets_the_same_logits_alone_as_among_others(classifier: Classifier, way: Input) -> None:
    together = classifier.model.logits(way.check(samples(way)))

    alone = [classifier.model.logits(way.check([row])) for row in samples(way)]

    assert together.shape == (N_ROWS, len(LABELS))
    assert_array_equal(np.concatenate(alone), together)


def test_requests_that_share_a_batch_get_the_answers_of_their_own_rows(classifier: Classifier, way: Input) -> None:
    rows = samples(way)
    requests = [rows[:1], rows[1:4], rows[4:], rows[2:3]]

    async def gathered() -> list[Any]:
        return await asyncio.gather(*(classifier.predict(classifier.check(request)) for request in requests))

    for request, answer in zip(requests, asyncio.run(gathered()), strict=True):
        alone = classifier.predict_now(classifier.check(request))
        assert_array_equal(answer.scores.logits, alone.scores.logits)


def test_a_checked_row_is_not_the_clients_to_change(way: Input) -> None:
    rows = [json.loads(json.dumps(row)) for row in samples(way)]
    checked = way.check(rows)
    before = json.dumps({name: array.tolist() for name, array in way.feed(checked).items()})

    assert rows == list(samples(way))
    assert json.dumps({name: array.tolist() for name, array in way.feed(checked).items()}) == before


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(hostile, min_size=1, max_size=3), near=st.booleans())
def test_whatever_a_row_holds_it_is_taken_or_refused_as_the_callers(
    rows: list[Any], near: bool, classifiers: Mapping[str, Classifier]
) -> None:
    for classifier in classifiers.values():
        way = classifier.model.input
        values = [*samples(way, 1), *rows] if near else rows
        try:
            feed = way.feed(way.check(values))
        except InvalidInput:
            continue
        assert all(len(array) == len(values) for array in feed.values())


@settings(max_examples=60, deadline=None)
@given(body=hostile)
def test_whatever_a_body_holds_it_is_taken_or_refused_as_the_callers(
    body: Any, classifiers: Mapping[str, Classifier]
) -> None:
    content = json.dumps(body, default=str).encode()
    for classifier in classifiers.values():
        try:
            rows = classifier.check(decode_inputs(content, classifier.model.input))
            feed = classifier.model.input.feed(rows)
        except InvalidInput:
            continue
        assert all(len(array) == len(rows) for array in feed.values())
