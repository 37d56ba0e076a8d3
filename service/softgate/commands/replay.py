"""`softgate replay`: decisions from stored logits, of the very bytes that the server answers."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from softgate.commands.drift_screen import show
from softgate.commands.screen import console, say
from softgate.errors import InvalidInput
from softgate.policy.classifier import Classifier
from softgate.policy.decision import profile_row
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import apart
from softgate.policy.monitor.offline import Offline, Raised
from softgate.runtime.repository import Bundle, Model, read_bundle
from softgate.types import Action, Decisions, Reason, View
from softgate.web.protocols.predictions import encode_lines
from softgate.workbench.stored_logits import read_logits
from softgate.workbench.whole_file import replacing

Tally = Counter[tuple[int, int]]
MOST_ALARMS = 20


def run(folder: Path, logits: Path, *, profile: str | None, top_k: int, output: Path | None, drift: bool) -> int:
    """Exit code 1 where whoever reads standard output left before its end."""
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
        with _opened(output) if writing else nullcontext(BytesIO()) as file:
            for block in read_logits(logits, n_classes=len(classifier.labels)):
                predictions = classifier.replay(block, profile=profile)
                if writing:
                    file.write(encode_lines(classifier, predictions, view))
                if offline is not None:
                    offline.add(predictions)
                tally += counted(predictions.decisions)
    except BrokenPipeError:
        return 1
    finally:
        classifier.close()
    say(Text(summary(tally)), Console(stderr=True))
    if offline is not None:
        _show(offline)
    return 0


def counted(decisions: Decisions) -> Tally:
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


def alarms(raised: Sequence[Raised]) -> Iterator[str]:
    """A sentence each; of many the first."""
    for one in raised[:MOST_ALARMS]:
        yield f"row {one.row:,}: {one.detector.replace('_', ' ')}, {one.since:,} rows after it started"
    if len(raised) > MOST_ALARMS:
        yield f"and {len(raised) - MOST_ALARMS:,} more"


def _show(offline: Offline) -> None:
    show(offline.report(), console)
    lines = list(alarms(offline.raised)) or ["none"]
    console.print(
        Padding(Group(Text("\nAlarms, had somebody looked after every row", "bold"), *map(Text, lines)), (0, 1))
    )


def _referenced(classifier: Classifier) -> Bundle:
    bundle = classifier.model.bundle
    if bundle.calibration is None or bundle.calibration.reference is None:
        raise InvalidInput(f"Expected a calibrated model for --drift: {bundle.name} has no reference to compare with.")
    return bundle


def _classifier(folder: Path) -> Classifier:
    model = Model(read_bundle(folder), threads=1, tried=False)
    # Nothing is counted: a replay is no traffic.
    return Classifier(model, apart(axes(model.bundle)), clock=time.monotonic, max_rows=1)


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[bytes]]:
    if output is None:
        # Python's own may be unbuffered, and then writes only as much as a pipe takes at once.
        with open(sys.stdout.fileno(), "wb", closefd=False) as file:
            yield file
    elif output.exists() and not output.is_file():
        # A device or a pipe is written to; a file put in its place would be the end of it.
        with output.open("wb") as file:
            yield file
    else:
        # Where a link leads, so that it stays one.
        with replacing(output.resolve()) as file:
            yield file
