"""What the terminal's width does to sentences, and what a pipe's lack of one does not."""

from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from softgate.commands.screen import amount, aside, say

SENTENCE = "Run softgate calibrate on labelled rows that the model has not seen. It writes golden rows too."


def lines_of(width: int, margin: int, *, terminal: bool) -> list[str]:
    screen = Console(file=StringIO(), width=width, force_terminal=terminal, color_system=None)
    aside(Text(" ok"), Text(SENTENCE), width=margin, to=screen)
    assert isinstance(screen.file, StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_sentence_is_wrapped_between_words_and_leaves_its_margin_free(width: int) -> None:
    first, *further = lines_of(width, 28, terminal=True)

    assert first.startswith(" ok".ljust(28) + "Run ")
    assert further
    assert all(line.startswith(" " * 28) and line[28] != " " for line in further)
    assert all(len(line) <= width for line in (first, *further))
    assert " ".join([first[28:], *(line[28:] for line in further)]) == SENTENCE


def test_in_a_pipe_a_sentence_is_one_line() -> None:
    assert lines_of(40, 28, terminal=False) == [" ok".ljust(28) + SENTENCE]


def test_an_error_is_wrapped_between_words_on_a_terminal_alone() -> None:
    for terminal, n_lines in ((True, 3), (False, 1)):
        screen = Console(file=StringIO(), width=40, force_terminal=terminal, color_system=None)
        say(Text(SENTENCE), screen)
        assert isinstance(screen.file, StringIO)
        lines = screen.file.getvalue().splitlines()
        assert len(lines) == n_lines
        assert " ".join(line.strip() for line in lines) == SENTENCE


@pytest.mark.parametrize(
    ("size_bytes", "shown"), [(0, "0.0 kB"), (999_999, "1000.0 kB"), (6_740_000, "6.7 MB"), (74_006_800_000, "74.0 GB")]
)
def test_an_amount_is_told_in_the_unit_that_fits(size_bytes: int, shown: str) -> None:
    assert amount(size_bytes) == shown
