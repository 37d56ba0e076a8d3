"""What /metrics answers."""

from collections.abc import Callable

from softgate.policy.monitor.board import Board
from softgate.policy.monitor.estimate import estimates
from softgate.policy.monitor.report import detector_states
from softgate.web.metrics import drift, predictions, service
from softgate.web.metrics.layout import WEB
from softgate.web.metrics.service import Scrape
from softgate.web.metrics.text import Template

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    def __init__(self, board: Board, clock: Callable[[], float]) -> None:
        """`clock`: the one the board was made with."""
        self._board = board
        self._clock = clock
        watched = list(board.watched.values())
        self._template: Template[Scrape] = Template(
            [
                *service.families(board),
                *service.model_families(watched),
                *predictions.families(watched),
                *drift.families(watched),
            ]
        )

    def render(self) -> bytes:
        """Takes milliseconds with thousands of series: not for the event loop."""
        board, counts = self._board, self._board.counts
        watched, total = board.watched, counts.total()
        last_hour, seconds = board.windows.since("1h", total, now=self._clock())
        since = board.updated_at - seconds
        hour = {name: board.view(last_hour, model) for name, model in watched.items()}
        return self._template.fill(
            Scrape(
                web=counts.layout.view(total, WEB),
                models={name: board.view(total, model) for name, model in watched.items()},
                hour=hour,
                estimates={name: estimates(model, hour[name], since=since) for name, model in watched.items()},
                detectors={name: detector_states(model) for name, model in watched.items()},
                process=service.processes(counts),
            )
        )
