import pytest

from softgate.workbench import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2e-6, "2.0 µs"), (0.0000345, "34.5 µs"), (0.00042, "420.0 µs"), (0.001, "1.00 ms"), (0.0123, "12.30 ms")],
)
def test_no_time_is_rounded_to_nothing(seconds: float, words: str) -> None:
    assert duration.shown(seconds) == words
