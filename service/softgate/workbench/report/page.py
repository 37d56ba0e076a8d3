"""The page: one file that opens anywhere, without a script and without the network. Every word is escaped here."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from typing import Protocol

from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.workbench.report import captions, figures, markup, tables
from softgate.workbench.report.notes import notes
from softgate.workbench.report.style import style
from softgate.workbench.report.subject import Subject
from softgate.workbench.report.summary import QUESTIONS, Answer, answers
from softgate.workbench.report.tables import Table
from softgate.workbench.report.words import counted, printable, short_percent

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
WORST_CLASSES = 12
MORE_CLASSES = 100
MAX_PROFILES = 6
BY_CHANCE = (
    "By chance: what perfect calibration on as much data stays below in 95 of 100 draws; p: how often it is as large."
)
ALONE = "Bound: exact and one-sided, of this threshold taken alone. The promise holds for the choice among all of them."


def page(subject: Subject) -> str:
    """The whole HTML file. Raises SoftgateError where matplotlib is absent."""
    title = printable(f"{subject.model} {subject.version}: calibration report")
    written = {name: "".join(parts(subject)) for name, parts in SECTIONS.items()}
    sections = {name: inner for name, inner in written.items() if inner}
    body = "".join(
        [
            _header(subject),
            "<main>",
            _tiles(answers(subject), linked=sections.keys()),
            _notes(notes(subject)),
            *(_section(name, inner) for name, inner in sections.items()),
            '<section><h2 id="provenance">Where it comes from</h2>',
            f"{markup.definitions(tables.provenance(subject))}</section>",
            "</main>",
            f"<footer>Calibration {escape(subject.calibration)}, reported by softgate. {_privacy(subject)}</footer>",
        ]
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style()}</style></head><body>{body}</body></html>\n"
    )


def _header(subject: Subject) -> str:
    data = subject.part("data")
    rows = f", {counted(data['rows'], 'row')}" if data.get("rows") else ""
    about = (
        f"Version {printable(subject.version)}, calibration {subject.calibration}, "
        f"{counted(subject.n_labels, 'label')}{rows}"
    )
    when = f", {printable(str(subject.evidence['time']))}" if subject.evidence.get("time") else ""
    title = f"{markup.name(subject.model)}: calibration report"
    return f'<header><h1>{title}</h1><p class="muted">{escape(about + when)}</p></header>'


def _tiles(found: Sequence[Answer], *, linked: Container[str]) -> str:
    tiles = (
        f'<li class="tile {answer.status}"><h3>{_question(answer, linked=answer.name in linked)}</h3>'
        f'<p class="verdict">{escape(answer.verdict)}</p><p class="figure">{escape(answer.figure)}</p>'
        f'<p class="unit">{escape(answer.unit)}</p><p class="sentence">{escape(answer.sentence)}</p>'
        f'<p class="detail">{escape(answer.detail)}</p></li>'
        for answer in found
    )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _notes(found: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in found)}</ul>' if found else ""


def _question(answer: Answer, *, linked: bool) -> str:
    return f'<a href="#{answer.name}">{answer.question}</a>' if linked else answer.question


def _section(name: str, inner: str) -> str:
    return f'<section><h2 id="{name}">{QUESTIONS[name]}</h2><div class="grid">{inner}</div></section>'


def _calibrated(subject: Subject) -> Iterator[str]:
    for when in ("before", "after"):
        if bins := subject.part("reliability", when):
            yield _figure(
                f"Reliability {when} calibration",
                captions.reliability(subject, when),
                partial(figures.reliability, f"reliability-{when}", bins, pairs=subject.multi_label),
                tables.columns(bins, ("upper_edges", "rows", "confidence", "accuracy")),
            )
    if histogram := subject.part("confidence"):
        yield _figure(
            "Confidence of right and wrong answers",
            captions.confidence(histogram),
            partial(figures.confidence, "confidence", histogram),
            tables.columns(histogram, ("upper_edges", "right", "wrong", "out_of_scope")),
        )
    if (table := tables.quality(subject)).rows:
        about = "Over all pairs of a row and a label. " if subject.multi_label else ""
        yield markup.card("Measures", markup.table(table), about + BY_CHANCE)


def _routed(subject: Subject) -> Iterator[str]:
    if (fates := tables.fates(subject)).rows:
        about = "On rows that did not choose the threshold."
        yield markup.card("What becomes of the rows", markup.table(fates, bars=1), about)
    if curve := subject.part("risk_coverage"):
        yield _figure(
            "Precision by share of rows routed",
            captions.risk_coverage(subject),
            partial(figures.risk_coverage, "risk-coverage", subject),
            tables.columns(curve, ("coverage", "precision", "threshold")),
        )
    gate = subject.part("gate")
    if gate.get("value") is not None and gate.get("upper_edges"):
        yield _figure(
            "Out-of-scope gate",
            captions.gate(gate),
            partial(figures.gate, "gate", gate),
            tables.columns(gate, ("upper_edges", "in_scope", "out_of_scope")),
        )
    if (sets := subject.part("sets")).get("sizes"):
        yield _figure(
            "Size of the prediction sets",
            captions.sets(sets),
            partial(figures.sets, "sets", sets),
            tables.columns({"size": range(len(sets["sizes"])), "rows": sets["sizes"]}, ("size", "rows")),
        )


def _promised(subject: Subject) -> Iterator[str]:
    for place, profile in enumerate(subject.profiles[:MAX_PROFILES]):
        promise = subject.part("promises", profile)
        if promise.get("tested"):
            name = "" if profile == DEFAULT_PROFILE else f", profile {markup.name(profile)}"
            yield _figure(
                f"Thresholds tried for {short_percent(promise['precision'])}{name}",
                captions.threshold(promise),
                partial(figures.threshold, f"threshold-{place}", promise),
                tables.columns(promise["tested"], ("thresholds", "accepted", "errors", "lower_bound")),
            )
    if subject.part("promises"):
        table = markup.table(tables.promises(subject), stacked=True)
        yield markup.card("Promises", table, f"{ALONE} {tables.assumptions(subject)}", wide=True)
    if (routes := tables.routes(subject.promise)).rows:
        about = "The others share the pooled one."
        yield markup.card("Routes with a threshold of their own", markup.table(routes), about, wide=True)


def _weak(subject: Subject) -> Iterator[str]:
    few, many = (tables.classes(subject, limit) for limit in (WORST_CLASSES, MORE_CLASSES))
    if few.rows:
        more = replace(many, rows=many.rows[len(few.rows) :])
        rest = markup.details(f"The next {len(more.rows)}", markup.table(more, bars=2)) if more.rows else ""
        noun, plural = subject.outcome
        about = (
            "At best: the upper end of the recall's 95% interval. By it they are sorted, so that few rows alone make "
            f"no {noun} the worst."
        )
        if subject.multi_label:
            about += " A label is taken to hold from a probability of 50% on, whatever its threshold."
        yield markup.card(f"Worst {plural}", markup.table(few, bars=2) + rest, about, wide=True)
    if subject.evidence.get("mistakes"):
        found = enumerate(subject.evidence["mistakes"])
        below = {place: subject.inputs[part["row"]] for place, part in found if part["row"] in subject.inputs}
        inner = markup.table(tables.mistakes(subject), below=below)
        yield markup.card("Most confident mistakes", inner, wide=True)


class Draw(Protocol):
    def __call__(self, *, description: str) -> str: ...


def _figure(title: str, caption: str, draw: Draw, numbers: Table) -> str:
    """`title` is HTML already. Without anything to draw there is no figure."""
    svg = draw(description=caption)
    if not svg:
        return ""
    return (
        f"<figure><h3>{title}</h3>{svg}<figcaption>{escape(caption)}</figcaption>"
        f"{markup.details('The numbers', markup.table(numbers))}</figure>"
    )


def _privacy(subject: Subject) -> str:
    if subject.inputs:
        return "It shows inputs, as asked: treat it as you treat them."
    return "It holds no input of the rows it was made from."


SECTIONS: Mapping[str, Callable[[Subject], Iterator[str]]] = {
    "calibrated": _calibrated,
    "routed": _routed,
    "promised": _promised,
    "weak": _weak,
}
