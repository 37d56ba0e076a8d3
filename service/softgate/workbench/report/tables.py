"""The tables of the report as rows of words, the same on the page and in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from softgate.workbench.report.selection import worst_classes
from softgate.workbench.report.subject import Part, Subject
from softgate.workbench.report.summary import assumed, truth
from softgate.workbench.report.words import (
    NONE,
    at_least,
    chance,
    count,
    error,
    number,
    percent,
    printable,
    short_percent,
)

MAX_TABLE_ROWS = 120


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    """How many of the first columns are words; the others are numbers."""
    extra: Sequence[str] = ()
    """Columns that a narrow terminal and a phone can do without."""


def quality(subject: Subject) -> Table:
    before, after = subject.part("quality", "before"), subject.part("quality", "after")
    rows = [
        (
            title,
            *(form(part[key]) if part.get(key) is not None else NONE for part in (before, after)),
            *_null(after, key),
        )
        for title, key, form in QUALITY
        if after.get(key) is not None or before.get(key) is not None
    ]
    return Table(("measure", "before", "after", "by chance", "p"), rows)


def promises(subject: Subject) -> Table:
    return Table(
        ("profile", "precision", "certainty", "threshold", "routed", "errors", "bound", "held out", "coverage"),
        [_promise(name, subject.part("promises", name), subject.thresholds.get(name)) for name in subject.profiles],
        extra=("certainty", "errors", "coverage"),
    )


def routes(promise: Part) -> Table:
    """The thresholds of routes that have enough rows for one of their own."""
    return Table(
        ("route", "threshold", "routed", "errors", "bound"),
        [
            (
                printable(route),
                number(part.get("threshold"), 3),
                count(part.get("accepted")),
                count(part.get("errors")),
                at_least(part.get("lower_bound")),
            )
            for route, part in list((promise.get("routes") or {}).items())[:MAX_TABLE_ROWS]
        ],
    )


def classes(subject: Subject, limit: int) -> Table:
    worst = worst_classes(subject.part("classes"), limit)
    told = [
        (printable(row.label), count(row.rows), percent(row.recall), percent(row.highest), percent(row.precision))
        for row in worst
    ]
    shared: Sequence[str] = (subject.outcome[0], "rows", "recall", "at best", "precision")
    if not subject.multi_label:
        rows = [(*cells, percent(row.confidence)) for cells, row in zip(told, worst, strict=True)]
        return Table((*shared, "confidence"), rows, extra=("at best", "confidence"))
    measured = [(*cells, percent(row.f1), number(row.threshold, 3)) for cells, row in zip(told, worst, strict=True)]
    return Table((*shared, "F1", "threshold"), measured, extra=("at best", "threshold"))


def mistakes(subject: Subject) -> Table:
    found: Sequence[Part] = subject.evidence.get("mistakes") or ()
    return Table(
        ("row", *(("holds", "taken to hold") if subject.multi_label else ("is", "taken for")), "confidence"),
        [
            (str(part["row"]), printable(truth(part)), printable(part["predicted"]), percent(part["confidence"], 2))
            for part in found
        ],
        texts=3,
    )


def fates(subject: Subject) -> Table:
    """What becomes of all rows, by what was held out."""
    data, gate, held_out = subject.part("data"), subject.part("gate"), subject.promise.get("held_out")
    data = data.get("eval") or data
    if not held_out or held_out.get("precision") is None or not data.get("rows"):
        return Table((), ())
    routed, precision = held_out["coverage"], held_out["precision"]
    turned_away = 0.0
    if subject.gate is not None:
        sides = ("in_scope", "out_of_scope")
        turned_away = (
            sum((gate.get(f"{side}_rejected") or 0.0) * (data.get(side) or 0) for side in sides) / data["rows"]
        )
    rest = "asked back or sent to the fallback" if subject.part("sets").get("sizes") else "sent to the fallback"
    if subject.promise.get("stated"):
        rest += ", or decided by a threshold of the card"
    shares = {
        "routed, to the right place": routed * precision,
        "routed, to a wrong place": routed * (1 - precision),
        **({} if subject.gate is None else {"turned away by the gate": turned_away}),
        rest: max(0.0, 1 - routed - turned_away),
    }
    return Table(("of all rows", "share"), [(name, percent(share)) for name, share in shares.items()])


def provenance(subject: Subject) -> Table:
    data, evidence = subject.part("data"), subject.evidence
    rows = [
        ("Model", f"{subject.model}, version {subject.version}, {count(subject.n_labels)} labels"),
        ("Calibration", subject.calibration),
        ("Rows", _rows(data)),
        ("Digest of the rows", data.get("sha256")),
        ("Rows judged on", _rows(data.get("eval") or {})),
        ("Their digest", (data.get("eval") or {}).get("sha256")),
        ("Command", evidence.get("command")),
        ("Made at", evidence.get("time")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in subject.part("versions").items())),
    ]
    return Table(("", ""), [(title, printable(str(value))) for title, value in rows if value], texts=2)


def columns(part: Part, names: Sequence[str]) -> Table:
    """The numbers behind a figure, as they are; of many, so many that a page stays light."""
    names = [name for name in names if part.get(name)]
    found = list(zip(*(part[name] for name in names), strict=False))
    step = 1 + max(0, len(found) - 1) // MAX_TABLE_ROWS
    return Table(
        [name.replace("_", " ") for name in names],
        [[NONE if value is None else f"{value:.5g}" for value in row] for row in found[::step]],
        texts=0,
    )


def _null(quality_after: Part, key: str) -> tuple[str, str]:
    band = (quality_after.get("null") or {}).get(key)
    by_chance = NONE if not band else f"< {error(band[1])}"
    return by_chance, chance((quality_after.get("p_value") or {}).get(key))


def _promise(name: str, part: Part, threshold: float | None) -> tuple[str, ...]:
    held_out = part.get("held_out") or {}
    return (
        printable(name),
        f"≥ {short_percent(part['precision'])}" if part else NONE,
        short_percent(1 - part["risk"]) if part else NONE,
        number(threshold, 3),
        count(part.get("accepted")),
        count(part.get("errors")),
        at_least(part.get("lower_bound")),
        percent(held_out.get("precision")),
        percent(held_out.get("coverage")),
    )


def assumptions(subject: Subject) -> str:
    told = {assumed(subject.part("promises", name)) for name in subject.part("promises")}
    return f"Assumed: {'; '.join(sorted(told))}." if told else ""


def _rows(data: Part) -> str:
    if not data:
        return ""
    out = data.get("out_of_scope") or 0
    label = f" labelled {data['out_of_scope_label']}" if out and data.get("out_of_scope_label") else ""
    kinds = "" if data.get("in_scope") is None else f": {count(data['in_scope'])} in scope, {count(out)} out of scope"
    return f"{count(data['rows'])}{kinds}{label}"


QUALITY = (
    ("Accuracy", "accuracy", percent),
    ("NLL", "nll", number),
    ("Brier score", "brier", number),
    ("ECE, 15 bins", "ece15", error),
    ("ECE, 15 bins of equal mass", "ece15_equal_mass", error),
    ("L2 error, debiased", "l2_debiased", error),
    ("AURC", "aurc", number),
    ("Excess AURC", "excess_aurc", number),
)
