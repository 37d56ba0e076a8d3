"""`softgate replay`: decisions from stored logits, of the very bytes that the server answers."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgate.commands.drift import as_text
from softgate.commands.drift_screen import show, show_parts, titled
from softgate.commands.drift_tables import words
from softgate.commands.output import opened
from softgate.commands.screen import console, say
from softgate.errors import InvalidInput
from softgate.policy.batch import Part
from softgate.policy.classifier import Classifier
from softgate.policy.decision import profile_row
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import apart
from softgate.policy.monitor.detectors import detectors
from softgate.policy.monitor.offline import Offline, Raised
from softgate.runtime.repository import Bundle, Model, read_bundle
from softgate.types import Action, Decisions, Reason, View
from softgate.web.protocols.predictions import encode_lines
from softgate.workbench.report.words import count, counted, joined
from softgate.workbench.stored_logits import read_logits

Tally = Counter[tuple[int, int]]
MOST_ALARMS = 20


def run(
    folder: Path,
    logits: Path,
    *,
    profile: str | None,
    top_k: int,
    output: Path | None,
    drift: bool,
    as_json: bool,
) -> int:
    """Exit code 1 where whoever reads standard output left before its end."""
    if as_json and not drift:
        raise InvalidInput("Expected --json together with --drift: without it every line is JSON as it is.")
    if output is not None and output.exists() and logits.exists() and output.samefile(logits):
        raise InvalidInput("Expected another file as --output; got the logits themselves.")
    classifier = _classifier(folder)
    # A mistake in the command is told before anything is written.
    profile_row(classifier.routing, profile)
    view = View(top_k=top_k)
    tally: Tally = Counter()
    offline = Offline(_referenced(classifier)) if drift else None
    writing = output is not None or not drift
    try:
        with opened(output) if writing else nullcontext(BytesIO()) as file:
            for block in read_logits(logits, n_classes=len(classifier.labels)):
                predictions = classifier.replay(block, profile=profile)
                if writing:
                    file.writelines(encode_lines(classifier, Part.whole(classifier, predictions), view))
                if offline is not None:
                    offline.add(predictions)
                tally += tallied(predictions.decisions)
    except BrokenPipeError:
        return 1
    finally:
        classifier.close()
    say(Text(summary(tally)), Console(stderr=True))
    if offline is not None and as_json:
        sys.stdout.write(as_text({"alarms": offline.raised, "report": offline.report()}))
    elif offline is not None:
        _show(offline)
    return 0


def tallied(decisions: Decisions) -> Tally:
    """Rows by action and reason."""
    return Counter(zip(decisions.action.tolist(), decisions.reason.tolist(), strict=True))


def summary(tally: Tally) -> str:
    """`4 rows: 75.0 % route (3 confident), 25.0 % fallback (1 non_finite)`, in the order of the actions."""
    rows = tally.total()
    parts = []
    for action in Action:
        own = sorted((reason, n) for (of, reason), n in tally.items() if of == action)
        if own:
            why = ", ".join(f"{n:,} {Reason(reason).word}" for reason, n in own)
            parts.append(f"{sum(n for _, n in own) / rows:.1%}".replace("%", " %") + f" {action.word} ({why})")
    return f"{rows:,} row{'' if rows == 1 else 's'}: {', '.join(parts)}"


def alarm_rows(detector: str, raised: Sequence[Raised]) -> str:
    """`2 alarms, at rows 520 and 1,044`; of many the first."""
    rows = [count(one.row) for one in raised if one.detector == detector]
    if not rows:
        return "no alarm"
    told, more = rows[:MOST_ALARMS], len(rows) - MOST_ALARMS
    at = f"{', '.join(told)} and {count(more)} more" if more > 0 else joined(told)
    return f"{counted(len(rows), 'alarm')}, at {'row' if len(rows) == 1 else 'rows'} {at}"


def _show(offline: Offline) -> None:
    report = offline.report()
    show(report, console)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for state in report.detectors:
        grid.add_row(Text(words(state.detector)), Text(alarm_rows(state.detector, offline.raised)))
    note = Text("A detector starts again after each of its alarms.", "dim")
    show_parts([titled("Alarms, had somebody looked after every row", grid, note)], console)


def _referenced(classifier: Classifier) -> Bundle:
    bundle = classifier.model.bundle
    if not detectors(bundle):
        raise InvalidInput(
            f"Expected a calibrated model for --drift: {bundle.name} has no reference to compare with. "
            "Run softgate calibrate."
        )
    return bundle


def _classifier(folder: Path) -> Classifier:
    model = Model(read_bundle(folder), threads=1, tried=False)
    # Nothing is counted: a replay is no traffic.
    return Classifier(model, apart(axes(model.bundle)), clock=time.monotonic, max_rows=1)
