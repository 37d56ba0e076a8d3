"""What workers and supervisor tell each other of reloads, whatever a file system or a library put into it."""

import pytest

from softgate.web.reloads import MOST_REASON_BYTES, Reloads

REASONS = ["\udcff: not a folder", "ö" * MOST_REASON_BYTES, "x" + "ö" * MOST_REASON_BYTES, "two\nlines\x85 and \u2028"]


@pytest.mark.parametrize("reason", REASONS)
def test_any_text_arrives_as_one_order(reason: str) -> None:
    reloads = Reloads()
    reloads.order(reason)

    (order,) = reloads.take_orders()
    assert order[:2] == reason.encode(errors="backslashreplace").decode()[:2]


@pytest.mark.parametrize("reason", REASONS)
def test_any_text_arrives_as_news(reason: str) -> None:
    reloads = Reloads()
    reloads.begin()
    reloads.end("failed", "reload_failed", reason)

    assert reloads.ended == reloads.begun
    assert reloads.news.outcome == "failed"
    assert reloads.news.reason[:2] == reason.encode(errors="backslashreplace").decode()[:2]
