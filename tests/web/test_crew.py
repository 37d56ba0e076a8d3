"""What is known of a worker once it is dead."""

import os
import time

from softgate.policy.monitor.board import Board
from softgate.runtime.counts import Counts
from softgate.web.children import Children
from softgate.web.crew import Crew, Generation
from softgate.web.metrics.layout import layout


def test_a_dead_worker_is_neither_ready_nor_connected() -> None:
    counts = Counts(layout([]), n_rows=1)
    generation = Generation(Board([], counts, now=0.0), range(1))

    def work(own: Generation, row: int) -> int:
        own.counts(row).worker_started()
        own.counts(row).connected(7)
        own.counts(row).ready()
        os._exit(5)

    crew = Crew(Children(), work, patience=1.0)
    crew.start(generation, 0)
    dead = [*crew.dead()]
    while not dead:
        time.sleep(0.01)
        dead = [*crew.dead()]
    ((_, worker, code),) = dead

    assert code == 5
    assert worker is not None
    assert worker.was_ready
    assert (worker.counts.process, worker.counts.is_ready, worker.counts.n_connections) == (0, False, 0)
    assert not crew.workers
