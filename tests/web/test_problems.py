"""Which status an error has, and when its client shall come back."""

import pytest

from softgate import errors as ours
from softgate.web.errors import STATUS, more_headers, problem

AGAIN = {429, 503}


def retry_after(status: int) -> bytes | None:
    return dict(more_headers(status)).get(b"retry-after")


@pytest.mark.parametrize(
    ("exc", "overload_status", "status"),
    [
        (ours.Overloaded("Full."), 429, 429),
        (ours.Overloaded("Full."), 503, 503),
        # Loading, or about to end.
        (ours.NotReady("Not yet."), 429, 503),
        (ours.DeadlineExceeded("Late."), 429, 504),
        (ours.EngineFailed("Ill."), 429, 500),
        (RuntimeError("Nobody thought of it."), 429, 500),
    ],
)
def test_full_is_a_429_and_not_ready_a_503(exc: Exception, overload_status: int, status: int) -> None:
    assert problem(exc, overload_status=overload_status).status == status


def test_those_refused_together_are_told_to_come_back_in_different_whole_seconds() -> None:
    for status in AGAIN:
        drawn = [retry_after(status) for _ in range(200)]
        assert set(drawn) == {b"1", b"2", b"3", b"4"}
        # 50 of each on average; fewer than 20 of one happen once in a hundred million.
        assert min(map(drawn.count, set(drawn))) > 20


def test_nobody_else_is_told_to_come_back() -> None:
    assert {status for status in STATUS.values() if retry_after(status) is not None} == AGAIN
