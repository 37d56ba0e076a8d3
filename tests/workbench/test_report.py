"""The report for evidence of every kind: whole, absent, of many classes, of names that mean harm."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from calibrating import calibrated, examples, model, promise
from evidence import made_up, whole
from evidence_of_pairs import of_pairs
from softgate.commands.report import show
from softgate.errors import DataInvalid
from softgate.numerics.activations import softmax
from softgate.runtime.calibration import sha256
from softgate.runtime.repository import read_bundle
from softgate.workbench.calibrate.files import write
from softgate.workbench.report.notes import notes
from softgate.workbench.report.page import page
from softgate.workbench.report.source import subject, with_inputs
from softgate.workbench.report.subject import Subject
from softgate.workbench.report.summary import BAD, GOOD, answers
from softgate.workbench.report.tables import fates

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "شكوى من الخدمة",
    "👩‍👩‍👧 family plan",
    "a\u202etxt.exe",
    "\x1b[31mred",
    "$\\frac{1}{0}$ & co",
    "[bold]no markup[/bold]",
    "x" * 128,
    "https://example.org/x.png",
    "--x:url(//example.org)",
    "</style></svg></title>",
)
VOID = {"meta", "img", "br", "hr", "input", "link", "path", "use", "rect"}
PARTS = ("data", "temperature", "quality", "reliability", "confidence", "risk_coverage", "promises", "gate", "sets")


def terminal(subject: Subject, *, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    show(subject, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


class Elements(HTMLParser):
    """Every element closes, no id is given twice, and what may fetch or run is named."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.events: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def hostile() -> Subject:
    found = whole(*made_up(n_classes=len(HOSTILE)), labels=HOSTILE)
    promises = {**found.evidence["promises"], HOSTILE[0]: {**found.evidence["promises"]["high_risk"]}}
    promises["default"] = {**promises["default"], "assumes": HOSTILE[1], "routes": dict.fromkeys(HOSTILE, ROUTE)}
    evidence = {**found.evidence, "promises": promises, "command": HOSTILE[1], "versions": {HOSTILE[0]: HOSTILE[1]}}
    inputs = {part["row"]: HOSTILE[part["row"] % len(HOSTILE)] for part in evidence["mistakes"]}
    return replace(found, model=HOSTILE[0], version=HOSTILE[1], evidence=evidence, inputs=inputs)


ROUTE = {"threshold": 0.61, "accepted": 300, "errors": 4, "lower_bound": 0.971}


def changed(found: Subject, **parts: Any) -> Subject:
    return replace(found, evidence={**found.evidence, **parts})


def infeasible(*names: str) -> Subject:
    found = whole(*made_up())
    nothing = {"threshold": None, "accepted": None, "errors": None, "lower_bound": None, "held_out": None}
    promises = {
        name: {**part, **nothing, "rows_needed": 688} if name in names else part
        for name, part in found.evidence["promises"].items()
    }
    thresholds = {name: value for name, value in found.thresholds.items() if name not in names}
    return replace(changed(found, promises=promises), thresholds=thresholds)


def without_likelihood() -> Subject:
    found = whole(*made_up())
    quality = {when: {**part, "nll": None} for when, part in found.evidence["quality"].items()}
    del quality["before"]["nll"]
    return changed(found, quality=quality, temperature={"method": "brier", "interval": None, "richer": None})


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "whole": lambda: whole(*made_up()),
    "pairs": of_pairs,
    "hostile": hostile,
    "no evidence": lambda: replace(whole(*made_up()), evidence={}),
    "evidence of an older release": lambda: replace(
        whole(*made_up()), evidence={"data": {"sha256": "0" * 64, "rows": 400}, "method": "robust"}, thresholds={}
    ),
    "one row": lambda: whole(*_first_row()),
    "one class": lambda: whole(np.ones((40, 1)), np.zeros(40, dtype=np.intp), np.ones((4, 1))),
    "10 000 classes": lambda: whole(*made_up(n_rows=300, n_classes=10_000)),
    "nothing feasible": lambda: infeasible("default", "high_risk"),
    "a profile infeasible": lambda: infeasible("high_risk"),
    "no likelihood": without_likelihood,
    **{f"{part} is null": lambda part=part: changed(whole(*made_up()), **{part: None}) for part in PARTS},  # type: ignore[misc]
}


def _first_row() -> Any:
    logits, targets, out = made_up(n_rows=10)
    return logits[:1], targets[:1], out


@pytest.mark.parametrize("name", SUBJECTS)
def test_any_evidence_makes_a_page_that_runs_and_fetches_nothing(name: str) -> None:
    html = page(SUBJECTS[name]())

    found = Elements(html)
    assert not found.names & {"script", "img", "link", "iframe", "object", "image", "form", "base"}
    assert not found.events
    assert all(address.startswith("#") for address in found.addresses)
    assert len(found.ids) == len(set(found.ids))
    assert {address[1:] for address in found.addresses} <= set(found.ids)
    assert "default-src 'none'" in html
    assert not re.search(r"@import|url\((?!#)", re.sub(r"<bdi>.*?</bdi>", "", html, flags=re.DOTALL))
    assert len(html) < 900_000


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", SUBJECTS)
def test_any_evidence_fits_the_terminal_and_does_not_steer_it(name: str, width: int) -> None:
    shown = terminal(SUBJECTS[name](), width=width)

    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", shown)
    assert all(question in shown for question in ("calibrated?", "routed?", "promised?", "weak?"))
    assert "None" not in shown
    assert "nan" not in shown.split()


def test_page_and_terminal_give_the_same_answers() -> None:
    subject = whole(*made_up())

    said, shown = words(page(subject)), " ".join(terminal(subject).split())

    for answer in answers(subject):
        for text in (answer.figure, answer.verdict, answer.sentence):
            assert " ".join(text.split()).replace("'", "&#x27;") in said
            assert " ".join(text.split()) in shown


def test_of_several_labels_it_speaks_of_pairs_and_of_no_gate() -> None:
    said = words(page(of_pairs()))

    assert "7,200 pairs (ECE 0.40%)" in said
    assert "Of labels given 90%, about 90% hold." in said
    assert "neither an out-of-scope gate nor a prediction set" in said
    assert "no label" in said
    assert "under-confident" not in said
    assert "turned away" not in said
    assert "labels with recall below 80%" in said
    assert "from a probability of 50% on" in said


def test_a_refused_profile_is_named_beside_one_that_is_kept() -> None:
    said = " ".join(terminal(infeasible("high_risk")).split())

    assert "Profile high_risk: no threshold carries 98%. It takes at least 688 rows without an error." in said
    assert "≥ 95%" in said


def test_thresholds_of_routes_alone_are_routed_by_and_promised(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", routing="precision = 0.7\n[routing.profiles.high]\nprecision = 0.75")
    found = calibrated(toy, examples(), per_route=True)
    write(toy.bundle, calibration=found.content, golden=None)

    about = subject(read_bundle(tmp_path / "toy"))
    _, routed, promised, _ = answers(about)

    own = promise(found)["routes"].values()
    assert promise(found)["threshold"] is None
    assert routed.figure == f"{100 * promise(found)['held_out']['coverage']:.1f}%"
    low, high = (f"{end(part['threshold'] for part in own):.3f}" for end in (min, max))
    assert routed.detail.startswith(f"Thresholds {low} to {high} of 4 routes. ")
    assert (promised.status, promised.figure) == (GOOD, "≥ 70%")
    assert f"among {sum(part['accepted'] for part in own)} routed rows, for each route by itself" in promised.sentence
    assert promised.detail.endswith("Profiles: high ≥ 75%.")
    assert not [note for note in notes(about) if "no threshold carries" in note]


def test_rows_that_the_card_itself_decides_are_not_said_to_go_to_the_fallback(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", routing="precision = 0.7\n[routing.thresholds]\njoke = 0.3")
    write(toy.bundle, calibration=calibrated(toy, examples()).content, golden=None)

    about = subject(read_bundle(tmp_path / "toy"))

    assert fates(about).rows[-1][0].endswith(", or decided by a threshold of the card")
    assert [note for note in notes(about) if note.startswith("The card itself sets the threshold of joke: ")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_threshold_of_the_card_is_told_and_no_promise(when: str, tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", routing="precision = 0.8" + ("\nthreshold = 0.1" if when == "before" else ""))
    write(toy.bundle, calibration=calibrated(toy, examples()).content, golden=None)
    card = tmp_path / "toy" / "classifier.toml"
    if when == "after":
        card.write_text(card.read_text().replace("precision = 0.8", "precision = 0.8\nthreshold = 0.1"))

    _, routed, promised, _ = answers(subject(read_bundle(tmp_path / "toy")))

    assert (routed.verdict, promised.verdict) == ("Not measured", "Nothing")
    assert routed.sentence.startswith("The card sets the threshold 0.1 itself")
    assert promised.sentence.startswith("The card sets the threshold itself")


def test_an_error_beyond_chance_is_no_yes() -> None:
    logits, _, out = made_up(seed=1)
    random = np.random.default_rng(1)
    # Drawn from the probabilities themselves, so that these are calibrated.
    targets = (softmax(logits / 0.69).cumsum(axis=1) < random.random((len(logits), 1))).sum(axis=1)

    fitted, unfitted = (answers(whole(logits, targets, out, temperature=t))[0] for t in (0.69, 2.0))

    assert fitted.status == GOOD
    assert unfitted.status == BAD


def test_a_no_names_the_error_that_it_turns_on() -> None:
    found = whole(*made_up())
    p_values = {"ece15": 0.015, "l2_debiased": 0.01}
    after = {**found.part("quality", "after"), "ece15": 0.0141, "l2_debiased": 0.0457, "p_value": p_values}

    answer = answers(changed(found, quality={"before": found.part("quality", "before"), "after": after}))[0]

    assert (answer.status, answer.figure) == (BAD, "1.41%")
    assert answer.sentence.endswith("explains, by 4.57% in the root mean square.")


def test_a_chosen_map_of_biases_is_told() -> None:
    richer = {"map": "bias", "gain": 0.021, "standard_error": 0.004, "chosen": True, "why": None}
    found = changed(whole(*made_up()), temperature={"interval": None, "richer": richer})

    said = words(page(found))

    assert (
        "A bias per class beside the temperature lowers the loss on unseen rows by 0.0210 ± 0.0040, and is used."
        in said
    )


def test_inputs_are_shown_only_from_the_file_judged_on(tmp_path: Path) -> None:
    subject = whole(*made_up())
    lines = [json.dumps({"text": f"secret {row}", "label": "label_0"}) for row in range(1, 3001)]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(lines))
    judged = changed(subject, data={**subject.evidence["data"], "sha256": sha256(path.read_bytes())})

    with pytest.raises(DataInvalid, match="wanted the one whose mistakes"):
        with_inputs(subject, path)
    with pytest.raises(DataInvalid, match="holds logits"):
        with_inputs(subject, tmp_path / "data.npz")

    assert "secret" not in page(judged)
    first = subject.evidence["mistakes"][0]["row"]
    assert f"secret {first}<" in page(with_inputs(judged, path))
    assert f"secret {first}\n" in re.sub(" +\n", "\n", terminal(with_inputs(judged, path)))


def test_inputs_of_rows_with_several_labels_are_shown(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "two things at once", "labels": ["a", "b"]}\n{"text": "nothing", "labels": []}\n')
    told = {"data": {"sha256": sha256(data.read_bytes()), "rows": 2, "multi_label": True}}
    mistakes = [{"row": 1, "label": ["a", "b"], "predicted": "c", "confidence": 0.9}]
    judged = replace(whole(*made_up()), evidence={**told, "mistakes": mistakes})

    assert with_inputs(judged, data).inputs == {1: "two things at once"}
