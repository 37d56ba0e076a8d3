"""`softgate predict --input`: a file of any length, a line of JSON for each of its rows."""

import os
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from softgate.commands.answered import Answer, answered, decoder, lengths
from softgate.commands.output import opened
from softgate.commands.predict import checked
from softgate.commands.replay import summary
from softgate.commands.screen import say
from softgate.errors import DataInvalid, InvalidInput
from softgate.policy.classifier import Classifier
from softgate.policy.decision import profile_row
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import apart
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Model, read_bundle
from softgate.types import View
from softgate.workbench.in_order import InOrder, Sizes
from softgate.workbench.report.words import count, counted
from softgate.workbench.row_files import STANDARD_INPUT, Row, form, read_rows

STANDARD = Path("-")
EXIT_REFUSED = 5
# Several runs of the graph in a batch share what it costs besides.
RUNS_PER_BATCH = 4
BATCHES_PER_WINDOW = 16
WINDOW_BYTES = 8 * 2**20


def run(folder: Path, *, source: Path, output: Path, top_k: int, temperature: float | None, profile: str | None) -> int:
    """Exit code 5 where rows were refused, 1 where whoever reads standard output left before its end."""
    view = View(temperature=checked(temperature), top_k=top_k)
    if source != STANDARD and output.exists() and source.exists() and output.samefile(source):
        raise InvalidInput("Expected another file as --output; got the input itself.")
    # A graph for each thread shares less than threads within one graph do: twice as fast on two cores, measured.
    classifier = _classifier(folder)
    # A mistake in the command is told before anything is written.
    profile_row(classifier.routing, profile)
    told = _Told()
    started = time.perf_counter()
    try:
        with (
            _read_from(source) as file,
            opened(None if output == STANDARD else output) as to,
            _progress(file) as advance,
            closing(_answers(classifier, file, source, view, profile)) as answers,
        ):
            for window in answers:
                to.write(b"".join(answer.content for answer in window))
                told.add(window)
                advance(told.n_rows)
    except BrokenPipeError:
        return 1
    finally:
        classifier.close()
    say(Text(told.sentence(time.perf_counter() - started)), Console(stderr=True))
    return EXIT_REFUSED if told.refused else 0


class _Told:
    """What has been answered so far."""

    def __init__(self) -> None:
        self.decided: Counter[tuple[int, int]] = Counter()
        self.refused: Counter[str] = Counter()
        self.first_refused = 0

    @property
    def n_rows(self) -> int:
        return self.decided.total() + self.refused.total()

    def add(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if isinstance(answer.outcome, str):
                self.first_refused = self.first_refused or answer.line
                self.refused[answer.outcome] += 1
            else:
                self.decided[answer.outcome] += 1

    def sentence(self, seconds: float) -> str:
        parts = [summary(self.decided)] if self.decided else []
        if self.refused:
            codes = ", ".join(f"{count(n)} {code}" for code, n in sorted(self.refused.items()))
            rows = counted(self.refused.total(), "row")
            parts.append(f"{rows} refused ({codes}), the first in line {self.first_refused}")
        return f"{'; '.join(parts)}; {count(self.n_rows / seconds)} rows/s"


def _classifier(folder: Path) -> Classifier:
    model = Model(read_bundle(folder), threads=1)
    batch = RUNS_PER_BATCH * model.bundle.card.serving.max_batch
    # Nothing is counted: rows of a file are no traffic.
    return Classifier(model, apart(axes(model.bundle)), clock=time.monotonic, max_rows=batch)


def _answers(
    classifier: Classifier, file: IO[bytes], source: Path, view: View, profile: str | None
) -> Generator[list[Answer]]:
    model, of_stdin = classifier.model, source == STANDARD
    batch = RUNS_PER_BATCH * model.bundle.card.serving.max_batch
    folder = Path() if of_stdin else source.parent
    rows = read_rows(
        file,
        name="standard input" if of_stdin else str(source),
        suffix=STANDARD_INPUT if of_stdin else source.suffix,
        form=form(model, decode=decoder(model, folder=folder), folder=folder),
    )
    work: InOrder[Row, Answer] = InOrder(
        lambda some: answered(classifier, some, view, profile),
        lambda some: lengths(model, some),
        sizes=Sizes(batch, BATCHES_PER_WINDOW * batch, WINDOW_BYTES),
        threads=usable_cpus(),
    )
    yield from work.run(rows)


@contextmanager
def _read_from(source: Path) -> Iterator[IO[bytes]]:
    """Raises DataInvalid."""
    try:
        file: IO[bytes] = sys.stdin.buffer if source == STANDARD else source.open("rb")
    except OSError as exc:
        raise DataInvalid(f"{source}: cannot be read: {exc.strerror}.") from exc
    with file:
        yield file


@contextmanager
def _progress(file: IO[bytes]) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, by bytes read, for the number of rows is not known before the last; nothing in a pipe."""
    console = Console(stderr=True)
    status = os.fstat(file.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    columns = (
        BarColumn(),
        TextColumn("{task.fields[rows]} rows, {task.fields[rate]} rows/s,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    started = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, rows="0", rate="0")

        def advance(n_rows: int) -> None:
            rate = n_rows / (time.perf_counter() - started)
            done = 0 if total is None else file.tell()
            progress.update(task, completed=done, rows=count(n_rows), rate=count(rate))

        yield advance
