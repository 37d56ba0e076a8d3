"""
The checklist before a deployment: each line ok, a warning or failed, with a sentence and a remedy.

`check` loads and runs what may be hostile: it is to be called in a process of its own, `runtime/contained.py`, and
yields each line as soon as it is known, so that a graph which ends that process leaves the lines before.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from softgate.errors import CardInvalid, GoldenMismatch, MemoryExhausted, SoftgateError
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.runtime.calibration import AGAIN, Calibration
from softgate.runtime.external import unlisted
from softgate.runtime.golden import compare, read_golden
from softgate.runtime.repository import SAMPLE_ROWS, Bundle, Model, calibration_beside, read_bundle, unverified
from softgate.workbench.answers import CALIBRATE, CHECKS, FAILED, OK, WARNING, Line, Subject, agreement
from softgate.workbench.graph import GraphFacts, graph_facts
from softgate.workbench.inspect import ENDS


def check(folder: str, against: str) -> Iterator[Mapping[str, str]]:
    """Every line, as JSON takes it. `against` is the path of another version of the graph, or empty."""
    for line in _lines(Path(folder), Path(against) if against else None):
        yield asdict(line)


def _lines(folder: Path, against: Path | None) -> Iterator[Line]:
    try:
        bundle = read_bundle(folder, calibrated=False)
    except SoftgateError as exc:
        yield Line("folder", FAILED, str(exc))
        return
    n_labels = len(bundle.labels)
    yield Line(
        "folder",
        OK,
        f"{n_labels} label{'' if n_labels == 1 else 's'}, version {bundle.version}, {bundle.card.activation}.",
    )
    try:
        facts = graph_facts(bundle.model.content, bundle.model.external)
    except SoftgateError as exc:
        yield Line("file", FAILED, str(exc), "Export the model again, and copy it whole.")
        return
    yield from _external(facts, bundle.model.external)
    yield from _file(facts)
    calibration, line = _calibration(bundle)
    yield line
    yield from _temperature(calibration, bundle.labels)
    try:
        model = Model(bundle, threads=1)
    except MemoryExhausted:
        # It crosses to the caller, who knows the limit.
        raise
    except SoftgateError as exc:
        yield Line("load", FAILED, str(exc).removeprefix(f"{folder}: "), _remedy(exc))
        return
    made_up = model.input.samples(SAMPLE_ROWS) or ()
    if any(doubt.code == "made_up_rows_fail" for doubt in model.doubts):
        made_up = ()
    answers = "and answers made-up rows alone and in a batch" if made_up else "but was run on no made-up row"
    yield Line("load", OK, f"The graph loads, {answers}.")
    bundle = replace(bundle, calibration=calibration)
    golden, line = _golden(bundle, model)
    yield line
    samples = [*made_up, *golden]
    subject = Subject(bundle, facts, model, samples)
    yield from _fit(subject)
    if not samples:
        yield Line("answers", WARNING, "No row is known that this graph takes, so nothing was run.", CALIBRATE)
        return
    for part in CHECKS:
        yield from part(subject)
    if against is not None:
        yield from agreement(subject, against)


def _external(facts: GraphFacts, listed: Collection[str]) -> Iterator[Line]:
    wrong = unlisted(facts.external, listed)
    used = {each.location for each in facts.external}
    unused = [name for name in listed if name not in used]
    if wrong is not None:
        yield Line("external data", FAILED, *wrong)
    elif unused:
        sentence = f"The card lists {_some(unused)}, and the graph keeps nothing there."
        yield Line("external data", FAILED, sentence, "Take out of external_data what the graph does not use.")
    elif used:
        held = "1 constant lies" if len(facts.external) == 1 else f"{len(facts.external)} constants lie"
        yield Line("external data", OK, f"{held} in {_some(sorted(used))}, as the card says.")


def _file(facts: GraphFacts) -> Iterator[Line]:
    foreign = [f"{domain}:{name}" for domain, names in facts.foreign.items() for name in names]
    if foreign:
        yield Line(
            "operators",
            FAILED,
            f"The graph uses operators outside ai.onnx: {_some(foreign)}.",
            "Export it without custom operators; softgate loads no library of them.",
        )
    else:
        yield Line("operators", OK, "All operators are of ai.onnx or come with onnxruntime.")
    n_nan = sum(facts.nan.values())
    if n_nan:
        yield Line(
            "weights",
            FAILED,
            f"{n_nan} {'weight is' if n_nan == 1 else 'weights are'} NaN, in {_some(list(facts.nan))}.",
            "Train or export the model again: training diverged.",
        )
    else:
        yield Line("weights", OK, f"{facts.n_parameters:,} weights, none of them NaN.")


def _calibration(bundle: Bundle) -> tuple[Calibration | None, Line]:
    try:
        calibration = calibration_beside(bundle)
    except SoftgateError as exc:
        # The remedy says it, and with what.
        return None, Line("digest", FAILED, str(exc).removesuffix(f" {AGAIN}"), CALIBRATE)
    if calibration is None:
        return None, Line("digest", WARNING, "No calibration records what the files should be.", CALIBRATE)
    return calibration, Line("digest", OK, f"All files are those that calibration {calibration.id} was made with.")


def _temperature(calibration: Calibration | None, labels: Sequence[str]) -> Iterator[Line]:
    if calibration is None:
        yield Line("temperature", WARNING, "No temperature is fitted: probabilities are the model's own.", CALIBRATE)
        return
    fitted, at_end = _fitted(calibration, labels)
    if at_end is not None:
        yield Line("temperature", FAILED, f"{fitted}, is an end of the range it is clamped to{at_end}.", CALIBRATE)
    else:
        yield Line("temperature", OK, f"{fitted} of this model.")


def _fitted(calibration: Calibration, labels: Sequence[str]) -> tuple[str, str | None]:
    """What was fitted on what, and, where a temperature is an end of its range, for which labels, "" meaning all."""
    rows = calibration.evidence.get("data", {}).get("rows")
    on = f", fitted on {rows} rows" if rows else ""
    temperature = calibration.temperature
    if not isinstance(temperature, tuple):
        return f"T = {temperature:.4f}{on}", "" if temperature in TEMPERATURE_RANGE else None
    ends = [label for label, value in zip(labels, temperature, strict=True) if value in TEMPERATURE_RANGE]
    fitted = f"T = {min(temperature):.4f} to {max(temperature):.4f}, one per label{on}"
    return fitted, f" for {_some(ends)}" if ends else None


def _golden(bundle: Bundle, model: Model) -> tuple[Sequence[Any], Line]:
    try:
        golden = read_golden(bundle.folder / bundle.version / "golden.json")
        if golden is None:
            return (), _without_golden(bundle)
        compare(golden, model.logits(model.input.check(golden.rows)), bundle.labels)
    except GoldenMismatch as exc:
        return (), Line("golden rows", FAILED, str(exc), "Find out which file changed since the rows were written.")
    except SoftgateError as exc:
        return (), Line("golden rows", FAILED, f"The golden rows do not fit the graph: {exc}")
    return golden.rows, Line("golden rows", OK, f"{len(golden.rows)} rows give the logits and labels they gave.")


def _without_golden(bundle: Bundle) -> Line:
    """Labels in another order, or another tokenizer, void a calibration: where it holds, they are what they were."""
    doubt = unverified(bundle)
    if doubt is not None:
        return Line("golden rows", WARNING, doubt.sentence, doubt.remedy)
    what = "labels.txt is" if bundle.tokenizer is None else "labels.txt and tokenizer.json are"
    return Line("golden rows", OK, f"There are none to replay; {what} as the calibration recorded.")


def _fit(subject: Subject) -> Iterator[Line]:
    """Whether the activation and the kind of the output fit what the graph ends in and what it answers."""
    card, output = subject.bundle.card, subject.model.output
    operators = next((ending.operators for ending in subject.facts.endings if ending.output == output), ())
    last = operators[-1] if operators else ""
    for doubt in subject.model.doubts:
        yield Line(doubt.code.replace("_", " "), WARNING, doubt.sentence, doubt.remedy)
    if last in ENDS and card.output.kind != ENDS[last]:
        sentence = f"The graph ends in {last}, and the card calls its output {card.output.kind}."
        yield Line("activation", FAILED, sentence, f'Say output.kind = "{ENDS[last]}".')
    elif last in ("Softmax", "LogSoftmax") and card.multi_label:
        sentence = f"The graph ends in {last}: its labels exclude each other, and the card says {card.activation}."
        yield Line("activation", FAILED, sentence, 'Say activation = "softmax".')
    elif last == "Sigmoid" and not card.multi_label and len(subject.bundle.labels) > 2:
        sentence = f"The graph ends in Sigmoid: labels stand for themselves, and the card says {card.activation}."
        yield Line("activation", FAILED, sentence, 'Say activation = "sigmoid".')
    else:
        by = f" by {' of '.join(operators)}" if operators else ""
        yield Line("activation", OK, f"{card.activation} of {card.output.kind}{by}.")


def _remedy(exc: SoftgateError) -> str:
    return "Mend classifier.toml or labels.txt." if isinstance(exc, CardInvalid) else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
