"""One run's rows, shared by the requests that it merged."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from softgate.policy.one_row import OneRow
from softgate.policy.readout import Readout
from softgate.types import Predictions, Rows, View


class Decides(Protocol):
    """What a batch asks of its classifier."""

    one_row: OneRow | None

    def decided(self, logits: NDArray[np.floating], profile: NDArray[np.intp] | int) -> Predictions: ...

    def read_out(self, predictions: Predictions) -> Readout: ...


# Written out, for each request makes one of each: a frozen dataclass takes three times as long to make.
class Query:
    """One request's rows, and the row of the threshold table they are decided by."""

    __slots__ = ("counted", "profile", "rows", "view")

    def __init__(self, rows: Rows, profile: int, *, counted: bool, view: View | None = None) -> None:
        self.rows = rows
        self.profile = profile
        self.counted = counted
        """Whether its answers count as traffic: labels, confidence, decisions."""
        self.view = view
        """What its answer shows; None where that is not all that the answer tells."""


class Batch:
    """The logits of one run, scored and decided; read out once for all the requests that share it."""

    __slots__ = ("_classifier", "_logits", "_predictions", "_profile", "_readout", "leading")

    def __init__(
        self,
        classifier: Decides,
        logits: NDArray[np.floating],
        profile: NDArray[np.intp] | int,
        predictions: Predictions | None = None,
    ) -> None:
        """`predictions`: of these logits, where there are some already; else `profile` decides."""
        self._classifier = classifier
        self._logits = logits
        self._profile = profile
        self._predictions = predictions
        self._readout: Readout | None = None
        self.leading: Readout | None = None
        """As `shorten` found it, of the classes that lead."""

    @property
    def logits(self) -> NDArray[np.floating]:
        return self._logits

    @property
    def predictions(self) -> Predictions:
        if self._predictions is None:
            self._predictions = self._classifier.decided(self._logits, self._profile)
        return self._predictions

    @property
    def is_read_out(self) -> bool:
        return self._readout is not None

    @property
    def readout(self) -> Readout:
        if self._readout is None and self._predictions is None:
            self._readout = self._one_row(of_many=False)
        if self._readout is None:
            self._readout = self._classifier.read_out(self.predictions)
        return self._readout

    def shorten(self, view: View) -> Readout | None:
        """
        Read out one row of very many classes as far as `view` shows them; None where that has no shorter way.

        What shows all becomes the readout, what shows a few is `leading`.
        """
        if view.shows_all:
            self._readout = self._one_row(of_many=True, shows_all=True)
            return self._readout
        if OneRow.is_enough_for(view):
            self.leading = self._one_row(of_many=True)
        return self.leading

    def _one_row(self, *, of_many: bool, shows_all: bool = False) -> Readout | None:
        one = self._classifier.one_row
        if one is None or one.of_many is not of_many or not isinstance(self._profile, int):
            return None
        return one(self._logits, self._profile, shows_all=shows_all)


class Part:
    """A request's rows of a batch."""

    __slots__ = ("batch", "start", "stop")

    def __init__(self, batch: Batch, start: int, stop: int) -> None:
        self.batch = batch
        self.start = start
        self.stop = stop

    @property
    def logits(self) -> NDArray[np.floating]:
        return self.batch.logits[self.start : self.stop]

    @property
    def predictions(self) -> Predictions:
        return self.batch.predictions.part(self.start, self.stop)

    @staticmethod
    def whole(classifier: Decides, predictions: Predictions) -> "Part":
        """Predictions that came another way, as all the rows of a batch."""
        return Part(Batch(classifier, predictions.scores.logits, 0, predictions), 0, len(predictions))
