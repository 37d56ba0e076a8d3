"""Many rows: in order, in batches, a few requests at once."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted import URL, Script, answer, asked, echo, overloaded, prediction, problem
from softgate.client import AsyncClient, Client, Retries
from softgate.errors import BodyTooLarge, InvalidInput, SoftgateError, TooManyRows


def labels(found: Any) -> list[str]:
    return [one.label for one in found]


def texts(n_rows: int) -> list[str]:
    return [str(row) for row in range(n_rows)]


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 6), st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_awaited_predictions_are_in_the_rows_order_whenever_they_come(
    n_rows: int, batch_size: int, concurrency: int, delays: list[int]
) -> None:
    under_way, most, n_asked = 0, 0, 0

    async def late(request: httpx2.Request) -> httpx2.Response:
        nonlocal under_way, most, n_asked
        delay, n_asked = delays[n_asked % len(delays)], n_asked + 1
        under_way += 1
        most = max(most, under_way)
        for _ in range(20 * delay):
            await asyncio.sleep(0)
        under_way -= 1
        return echo(request)

    found = asked(
        "async",
        late,
        lambda client: client.predict_many(iter(texts(n_rows)), batch_size=batch_size, concurrency=concurrency),
    )

    assert labels(found) == texts(n_rows)
    assert most <= concurrency
    assert n_asked == -(-n_rows // batch_size)


@given(st.integers(0, 30), st.integers(1, 5), st.integers(1, 4), st.lists(st.booleans(), min_size=1, max_size=9))
def test_threads_predictions_are_in_the_rows_order_whenever_they_come(
    n_rows: int, batch_size: int, concurrency: int, overtaken: list[bool]
) -> None:
    n_batches = -(-n_rows // batch_size)
    answered = [threading.Event() for _ in range(n_batches)]

    def late(request: httpx2.Request) -> httpx2.Response:
        batch = int(json.loads(request.content)["inputs"][0]) // batch_size
        # The next is under way beside it, but for the last of as many as are at once.
        if batch + 1 < n_batches and batch % concurrency != concurrency - 1 and overtaken[batch % len(overtaken)]:
            assert answered[batch + 1].wait(timeout=30)
        answered[batch].set()
        return echo(request)

    found = asked(
        "sync",
        late,
        lambda client: client.predict_many(iter(texts(n_rows)), batch_size=batch_size, concurrency=concurrency),
    )

    assert labels(found) == texts(n_rows)


def test_options_go_with_every_request_and_a_seed_differs(flavour: str) -> None:
    script = Script(echo)

    asked(
        flavour,
        script,
        lambda client: client.predict_many(
            texts(5), batch_size=2, concurrency=1, select="sample", seed=2**63 - 2, top_k=3, model="other"
        ),
    )

    assert [body.pop("seed") for body in script.bodies] == [2**63 - 2, 0, 2]
    assert script.bodies[2] == {"inputs": ["4"], "select": "sample", "seed": 2, "top_k": 3}
    assert {request.url.path for request in script.requests} == {"/v1/models/other/predict"}


def taken(flavour: str, handler: Any, rows: Any, **options: Any) -> tuple[list[str], SoftgateError]:
    """The labels that were given, and the error that came then."""
    terms: dict[str, Any] = {"model": "toy", "transport": httpx2.MockTransport(handler), "retries": Retries(most=0)}
    found: list[str] = []

    async def scene() -> None:
        async with AsyncClient(URL, **terms) as client:
            async for one in client.predict_many(rows, **options):
                found.append(one.label or "")

    with pytest.raises(SoftgateError) as caught:  # noqa: PT012 - what came before it counts
        if flavour == "async":
            asyncio.run(scene())
        else:
            with Client(URL, **terms) as client:
                for one in client.predict_many(rows, **options):
                    found.append(one.label or "")
    return found, caught.value


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_says_which_rows_and_comes_after_all_before_them(flavour: str, concurrency: int) -> None:
    def picky(request: httpx2.Request) -> httpx2.Response:
        bad = "13" in json.loads(request.content)["inputs"]
        return problem(400, "too_many_rows", "Expected at most 1 row; got 2.") if bad else echo(request)

    found, error = taken(flavour, picky, iter(texts(40)), batch_size=4, concurrency=concurrency)

    assert found == texts(12)
    assert isinstance(error, TooManyRows)
    assert error.rows == range(12, 16)
    assert "Of rows[12:16]." in error.__notes__


def test_a_row_that_cannot_be_written_is_told_in_its_turn(flavour: str) -> None:
    found, error = taken(flavour, echo, [*texts(5), {1}, "never"], batch_size=2, concurrency=4)

    assert found == texts(5)
    assert isinstance(error, InvalidInput)
    assert error.rows == range(5, 6)


def test_an_error_of_the_caller_s_own_rows_is_left_as_it_is(flavour: str) -> None:
    def rows() -> Iterator[str]:
        yield "0"
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        asked(flavour, echo, lambda client: client.predict_many(rows(), batch_size=1))


def test_each_request_has_its_own_retries(flavour: str) -> None:
    script = Script(overloaded("1"), echo, overloaded("1"), echo)

    found = asked(flavour, script, lambda client: client.predict_many(texts(4), batch_size=2, concurrency=1))

    assert labels(found) == texts(4)
    assert len(script.requests) == 4


def test_large_rows_are_cut_into_more_batches(flavour: str) -> None:
    script = Script(lambda request: answer([prediction()] * len(json.loads(request.content)["inputs"])))
    image = b"\x89" * 1_000_000

    found = asked(flavour, script, lambda client: client.predict_many([image] * 5))

    assert len(found) == 5
    assert sorted(len(body["inputs"]) for body in script.bodies) == [1, 2, 2]
    assert max(len(request.content) for request in script.requests) < 4_194_304


def test_a_body_that_is_too_large_says_so(flavour: str) -> None:
    _, error = taken(flavour, Script(problem(413, "body_too_large")), ["x"])

    assert isinstance(error, BodyTooLarge)


def test_who_leaves_early_leaves_nothing_running() -> None:
    ended: list[bool] = []

    async def endless(request: httpx2.Request) -> httpx2.Response:
        if json.loads(request.content)["inputs"] == ["0"]:
            return echo(request)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        raise AssertionError("It is cancelled.")

    async def scene() -> None:
        async with AsyncClient(URL, model="toy", transport=httpx2.MockTransport(endless)) as client:
            many = client.predict_many(texts(4), batch_size=1, concurrency=3)
            assert (await anext(many)).label == "0"
            await many.aclose()
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())

    assert ended == [True, True]


def test_threads_are_done_when_who_asked_has_left() -> None:
    before = threading.active_count()

    with Client(URL, model="toy", transport=httpx2.MockTransport(echo)) as client:
        many = client.predict_many(iter(texts(1000)), batch_size=1, concurrency=3)
        next(many)
        many.close()

    assert threading.active_count() == before


def test_one_client_serves_many_threads() -> None:
    with Client(URL, model="toy", transport=httpx2.MockTransport(echo)) as client:
        found: dict[int, list[str]] = {}

        def work(number: int) -> None:
            found[number] = [client.predict(f"{number} {row}").label or "" for row in range(20)]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == {number: [f"{number} {row}" for row in range(20)] for number in range(8)}
