"""A drift report in the terminal: the verdict first, then what speaks for it. Fits 60 columns."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from urllib.parse import quote

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from softgate.commands import drift_tables as tables
from softgate.commands.drift_tables import words
from softgate.policy.monitor.told import DetectorState, Estimate, Report, Rule, Window
from softgate.workbench.report.words import count, counted, number, percent, shortened

LABEL_CHARACTERS, MODEL_CHARACTERS = 32, 64
SUBJECTS = {
    "non_finite": "share of rows that are not finite",
    "below_threshold": "share of rows below the threshold",
    "clarify": "share of rows that ask back",
}
ESTIMATORS = {"atc_negative_entropy": "ATC by entropy"}
MOST_LABELS = 8
# Of labels: enough rows to tell, recent enough to act on. Rows without a server are all in one window.
JUDGED = {"1h", "all"}
MAX_REASON_CHARACTERS = 200


def show(report: Report, console: Console, *, base: str | None = None, wants_token: bool = False) -> None:
    """`base`: where the server is, which may want a token; None for rows that no server counted."""
    show_parts(_parts(report, unicode=is_unicode(console), base=base, wants_token=wants_token), console)


def show_parts(parts: Sequence[RenderableType], console: Console) -> None:
    if isinstance(console.file, TextIOWrapper):
        # A label may hold what the terminal's encoding does not.
        console.file.reconfigure(errors="replace")
    for part in parts:
        # A plain text is there to be copied: a line of it stays one.
        copied = isinstance(part, Text)
        console.print(part if copied else Padding(part, (0, 1)), soft_wrap=copied)


def is_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


def titled(title: str, *parts: RenderableType) -> RenderableType:
    """Under an empty line."""
    return Group(Text(f"\n{title}", "bold"), *parts)


def broken_rules(report: Report) -> Sequence[tuple[Window, Rule]]:
    return [(window, rule) for window in report.windows for rule in window.rules if rule.broken]


def _parts(report: Report, *, unicode: bool, base: str | None, wants_token: bool) -> Sequence[RenderableType]:
    parts: list[RenderableType] = [Group("", *_verdict(report))]
    if report.detectors:
        alarm_every = counted(report.alarm_every, "row")
        title = f"Detectors: together at most one false alarm in {alarm_every}, on average"
        budgets = " or ".join(count(budget) for budget in sorted({state.budget for state in report.detectors})[:2])
        note = Text(f"Evidence: as a share of {budgets}, which raises the alarm.", "dim")
        parts.append(titled(title, tables.detectors(report.detectors, unicode=unicode), note))
    parts.append(titled("Confidence", tables.histograms(report, unicode=unicode)))
    if (compared := tables.statistics(report)) is not None:
        note = Text("Floor: PSI by chance alone. p: chance of as much if nothing has changed.", "dim")
        parts.append(titled("Against the reference", compared, note))
    parts += [titled(title, *map(Text, lines)) for title, lines in _findings(report)]
    if base is not None and report.alarm:
        who = ", with a token of the scope admin" if wants_token else ""
        command = _acknowledge(base, report.model, wants_token=wants_token)
        parts += [titled(f"Looked into it? Acknowledge{who}:"), command]
    return parts


def _verdict(report: Report) -> Sequence[Text]:
    ringing = [state for state in report.detectors if state.alarm]
    broken = sorted({_subject(rule) for _, rule in broken_rules(report)})
    told = [_title(report), *(Text.assemble(("ALARM ", tables.ALARM), _raised(state)) for state in ringing)]
    if broken:
        told.append(Text.assemble(("Out of bounds ", "bold yellow"), ", ".join(broken)))
    if report.reference is None or not report.detectors:
        told.append(Text("Nothing to compare traffic with: run softgate calibrate.", "yellow"))
    elif not any(window.rows for window in report.windows):
        told.append(Text("No rows yet.", "yellow"))
    elif not ringing and not broken:
        told.append(Text("No drift: no alarm is on, and every plain rule is kept.", "green"))
    return told


def _title(report: Report) -> Text:
    about = "no calibration" if report.calibration is None else f"calibration {_name(report.calibration)}"
    as_of = f", as of {_time(report.updated_at)}" if report.updated_at else ""
    model = shortened(report.model, MODEL_CHARACTERS)
    return Text.assemble((model, "bold"), f" {_name(report.version)}, {about}{as_of}")


def _raised(state: DetectorState) -> str:
    since = f" since {_time(state.raised_at)}" if state.raised_at else ""
    alarms = f"{counted(state.alarms, 'alarm')} so far"
    return f"{words(state.detector)}{since}: {alarms}, {percent(state.evidence, 0)} of the evidence for the next"


def _time(unix_time: float) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_time, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "a time that no calendar has"


def _findings(report: Report) -> Sequence[tuple[str, Sequence[str]]]:
    """What a reader should know beside the numbers, each under a title."""
    found: list[tuple[str, Sequence[str]]] = []
    if broken := broken_rules(report):
        found.append(
            ("Plain rules out of bounds", [f"{words(window.window)}: {_bound(rule)}" for window, rule in broken])
        )
    judged = next((window for window in report.windows if window.window in JUDGED), None)
    if judged is None:
        return found
    name = words(judged.window)
    if movers := [mover for mover in judged.movers if mover.significant]:
        lines = [
            f"{_name(mover.label)}: {percent(mover.reference)} before, now {percent(mover.share)} (z {mover.z:+.1f})"
            for mover in movers
        ]
        found.append((f"Labels that moved most, {name}", lines))
    for word, labels in (("vanished", judged.labels.vanished), ("exploded", judged.labels.exploded)):
        if labels:
            more = f" and {count(len(labels) - MOST_LABELS)} more" if len(labels) > MOST_LABELS else ""
            found.append((f"Labels that {word}, {name}", [", ".join(map(_name, labels[:MOST_LABELS])) + more]))
    if judged.estimated_accuracy:
        lines = [_estimated(estimator, estimate) for estimator, estimate in judged.estimated_accuracy.items()]
        found.append((f"Accuracy estimated without labels, {name}", lines))
    return found


def _estimated(estimator: str, estimate: Estimate) -> str:
    told = f"{ESTIMATORS.get(estimator, words(estimator))}: {percent(estimate.value)}"
    if estimate.valid:
        return f"{told}, valid"
    why_not = shortened(estimate.why_not or "unknown", MAX_REASON_CHARACTERS).replace("_", " ")
    return f"{told}, not to be trusted ({why_not})"


def _acknowledge(base: str, model: str, *, wants_token: bool) -> Text:
    # Whoever reads this pastes it into a shell, and the model's name is what the server says it is.
    address = shlex.quote(f"{base}/v1/models/{quote(model, safe='')}/drift/acknowledge")
    # Not the token itself: a screen is shared, and a shell keeps what is typed.
    shown = ' -H "Authorization: Bearer $SOFTGATE_TOKEN" \\\n' if wants_token else ""
    return Text(f" curl -d '{{}}' -H 'Content-Type: application/json' \\\n{shown} {address}")


def _bound(rule: Rule) -> str:
    side = "most" if rule.rule.endswith("_above") else "least"
    return f"{_subject(rule)} {number(rule.value, 3)}, wanted at {side} {number(rule.bound, 3)}"


def _subject(rule: Rule) -> str:
    name = rule.rule.rpartition("_")[0]
    return SUBJECTS.get(name, words(name))


def _name(label: str) -> str:
    return shortened(label, LABEL_CHARACTERS)
