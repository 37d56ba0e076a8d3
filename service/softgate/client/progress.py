"""How far many rows are: a bar on a terminal, by standard error; elsewhere nothing."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager


@contextmanager
def shown(rows: Iterable[object], *, progress: bool) -> Iterator[Callable[[int], None]]:
    """While rows are asked about: what is to be told how many more are answered."""
    if progress and sys.stderr.isatty():
        with _bar(len(rows) if isinstance(rows, Sized) else None) as advance:
            yield advance
    else:
        yield lambda _: None


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[int], None]]:
    # Slow to load, and most have no use for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = [BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn(), TextColumn("gone")]
    if total is not None:
        columns += [TimeRemainingColumn(), TextColumn("left")]
    started = time.perf_counter()
    with Progress(
        *columns,
        console=Console(stderr=True, force_terminal=True),
        transient=True,
        # What is printed meanwhile stands above the bar; what is piped on stays in its pipe.
        redirect_stdout=sys.stdout.isatty(),
    ) as drawn:
        task = drawn.add_task("", total=total, told=_told(0, total, 0.0))
        n_done = 0

        def advance(n_rows: int) -> None:
            nonlocal n_done
            n_done += n_rows
            rate = n_done / (time.perf_counter() - started)
            drawn.update(task, completed=n_done, told=_told(n_done, total, rate))

        yield advance


def _told(n_done: int, total: int | None, rate: float) -> str:
    of_all = "" if total is None else f" of {total:,}"
    return f"{n_done:,}{of_all} rows, {rate:,.0f} rows/s,"
