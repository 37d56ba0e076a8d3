"""
Rows that are to be told as tensors: those that the graph has answered, in two ways, and those that it has not.

Numbers are arrays with one row for each; those of a row that is not finite are 0.
"""

from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from softgate.policy.batch import Part
from softgate.policy.classifier import FEW_ROWS, Classifier
from softgate.policy.readout import Readout
from softgate.policy.scoring import MOST_RANKED
from softgate.types import Floats, Indices, Scores, View


class Answered:
    """Rows that the graph has answered, as a client wants to see them."""

    def __init__(self, classifier: Classifier, part: Part, view: View) -> None:
        self.classifier = classifier
        self.rows = range(part.start, part.stop)
        """Of `readout`, which may hold those of other requests too."""
        self._part = part
        self._view = view

    @property
    def readout(self) -> Readout:
        return self._part.batch.readout

    @property
    def logits(self) -> NDArray[np.floating]:
        """As the graph gave them."""
        return self._part.logits

    @property
    def finite(self) -> NDArray[np.bool_]:
        return self._scores.finite

    @cached_property
    def order(self) -> Indices:
        """Shape (n_rows, n_shown): the classes to show, most probable first."""
        return self.classifier.show(self._part.predictions, self._view).order

    @cached_property
    def probabilities(self) -> Floats:
        found = self._scores.probabilities
        if self._view.top_k is not None:
            cut = np.zeros_like(found)
            np.put_along_axis(cut, self.order, np.take_along_axis(found, self.order, axis=1), axis=1)
            found = cut
        return found if self.finite.all() else np.where(self.finite[:, None], found, 0.0)

    @cached_property
    def labels(self) -> tuple[Indices, Floats, NDArray[np.bool_]]:
        """Of each row the column of its label, the label's probability, and whether there is one."""
        scores, decisions = self._scores, self._part.predictions.decisions
        if decisions.held is None or decisions.first is None:
            return scores.label, scores.confidence, scores.finite
        confidence = scores.probabilities[np.arange(len(decisions.first)), decisions.first]
        return decisions.first, confidence, np.logical_or.reduce(decisions.held, axis=1)

    @cached_property
    def _scores(self) -> Scores:
        predictions = self._part.predictions
        if self._view.temperature is None:
            return predictions.scores
        return self.classifier.show(predictions, self._view).scores


class ReadOut(Answered):
    """The same of a few rows that are Python values already, at the fitted temperature: arrays of them come dearer."""

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        return np.array([self.readout.finite[row] for row in self.rows])

    @cached_property
    def order(self) -> Indices:
        columns, shown = self.classifier.columns, self.readout.shown
        return np.array([[columns[label] for label in shown[row][: self._view.top_k]] for row in self.rows])

    @cached_property
    def probabilities(self) -> Floats:
        ranked = [self.readout.probabilities[row][: self._view.top_k] for row in self.rows]
        found = np.zeros((len(self.rows), len(self.classifier.labels)))
        found[np.arange(len(self.rows))[:, None], self.order] = ranked
        found[~self.finite] = 0.0
        return found

    @cached_property
    def labels(self) -> tuple[Indices, Floats, NDArray[np.bool_]]:
        readout, rows = self.readout, slice(self.rows.start, self.rows.stop)
        if readout.held is None or readout.first is None or readout.first_confidence is None:
            return np.array(readout.label[rows]), np.array(readout.confidence[rows]), self.finite
        there = np.array([len(held) > 0 for held in readout.held[rows]])
        return np.array(readout.first[rows]), np.array(readout.first_confidence[rows]), there


def answered(classifier: Classifier, part: Part, view: View) -> Answered:
    """The shorter way of the two."""
    is_few = part.stop - part.start <= FEW_ROWS and len(classifier.labels) <= MOST_RANKED
    short = is_few and part.batch.is_read_out and view.temperature is None
    return (ReadOut if short else Answered)(classifier, part, view)


class Unanswered:
    """Rows that the graph has not answered: whatever is asked for, they say to fall back."""

    def __init__(self, classifier: Classifier, readout: Readout) -> None:
        n_rows, n_classes = len(readout.finite), len(classifier.labels)
        self.classifier = classifier
        self.readout = readout
        self.rows = range(n_rows)
        self.logits = np.zeros((n_rows, n_classes), classifier.model.logits_dtype)
        self.probabilities = np.zeros((n_rows, n_classes))
        self.order = np.tile(np.arange(n_classes), (n_rows, 1))
        self.finite = np.zeros(n_rows, dtype=np.bool_)
        self.labels = self.order[:, 0], self.probabilities[:, 0], self.finite


Answers: TypeAlias = Answered | Unanswered
