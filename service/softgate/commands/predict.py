"""`softgate predict`: one row, without a server."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from softgate.commands.screen import console
from softgate.errors import InvalidInput
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.policy.batch import Part
from softgate.policy.classifier import Classifier
from softgate.policy.decision import in_order, target
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import apart
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Model, read_bundle
from softgate.types import Action, Predictions, Reason, View
from softgate.web.protocols import native

BAR_WIDTH = 32
STYLES = {
    Action.ROUTE: "bold green",
    Action.CLARIFY: "bold yellow",
    Action.FALLBACK: "bold red",
    Action.ABSTAIN: "bold red",
}


def run(folder: Path, row: str, *, top_k: int, temperature: float | None, profile: str | None, as_json: bool) -> None:
    view = View(temperature=checked(temperature), top_k=top_k)
    classifier = _classifier(folder)
    predictions = classifier.predict_now(classifier.check(_values(row, classifier)), profile=profile)
    if as_json:
        sys.stdout.write(native.encode(classifier, Part.whole(classifier, predictions), view).decode() + "\n")
    else:
        _print_prediction(classifier, predictions, view)
    classifier.close()


def checked(temperature: float | None) -> float | None:
    """Raises InvalidInput for one that no score is shown at."""
    low, high = TEMPERATURE_RANGE
    if temperature is not None and not low <= temperature <= high:
        raise InvalidInput(f"Expected a temperature from {low:g} to {high:g}; got {temperature:g}.")
    return temperature


def _values(row: str, classifier: Classifier) -> Sequence[Any]:
    """The one row: an image by the path of its file, a text as it is, all else as JSON."""
    way = classifier.model.input
    if classifier.model.bundle.card.input.kind == "image":
        try:
            return [Path(row).read_bytes()]
        except (OSError, ValueError) as exc:
            raise InvalidInput("Expected the path of a PNG or JPEG file that can be read.") from exc
    return [row] if way.depth == 0 else native.decode_inputs(row.encode(errors="replace"), way)


def _classifier(folder: Path) -> Classifier:
    model = Model(read_bundle(folder), threads=usable_cpus())
    return Classifier(model, apart(axes(model.bundle)), clock=time.monotonic, max_rows=1)


def _print_prediction(classifier: Classifier, predictions: Predictions, view: View) -> None:
    shown = classifier.show(predictions, view)
    scores, decisions = shown.scores, predictions.decisions
    full, empty, arrow = ("█", "░", "→") if console.encoding.startswith("utf") else ("#", ".", "->")
    table = Table(box=None, show_header=False, padding=(0, 1))
    if scores.finite[0]:
        for column in shown.order[0, : shown.keep[0]].tolist():
            probability = float(scores.probabilities[0, column])
            filled = round(probability * BAR_WIDTH)
            bar = Text(full * filled, "cyan") + Text(empty * (BAR_WIDTH - filled), "dim")
            table.add_row(Text(classifier.labels[column]), bar, f"{probability:7.2%}")
    console.print(table)
    if decisions.held is not None:
        held = in_order(decisions.held[0], predictions.scores.probabilities[0], classifier.routing)
        console.print(Text("\n " + (", ".join(classifier.labels[column] for column in held) or "no label holds")))
    action, reason = Action(decisions.action[0]), Reason(decisions.reason[0])
    where = target(classifier.routing, action, int(decisions.route[0]))
    candidate = classifier.routing.routes[int(decisions.route[0])]
    console.print(Text.assemble("\n ", (action.word, STYLES[action]), f" {arrow} {where}" if where else ""))
    why = reason.word
    if reason is not Reason.NON_FINITE:
        threshold = float(decisions.threshold[0])
        limit = "no threshold" if np.isnan(threshold) else f"threshold {threshold:.2%}"
        why = f"{why}: {candidate} {float(decisions.confidence[0]):.2%}, {limit}"
    console.print(Text(f" {why}", "dim"))
