"""
The four questions, answered in words: is it calibrated, what will be routed, what is promised, where is it weak?

Pure judgement over the evidence: the page and the terminal print the same answers.
"""

from dataclasses import dataclass
from statistics import median

from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.workbench.report.selection import kept, recalls, share_interval, unseen, worst_classes
from softgate.workbench.report.subject import Part, Subject
from softgate.workbench.report.words import (
    NONE,
    at_least,
    chance,
    count,
    counted,
    error,
    joined,
    number,
    percent,
    rows_needed,
    short_percent,
    shortened,
    shown_temperature,
    thresholds,
)

GOOD, CAUTION, BAD, UNKNOWN = "good", "caution", "bad", "unknown"
# Both tests of one question, each at half of it.
SIGNIFICANCE = 0.05
# Of the mean gap; the root of the mean square weighs rare large ones more.
SMALL_ERROR = 0.02
LARGE_NOISE = 0.05
WEAK_RECALL = 0.8
LABEL_CHARACTERS = 40
ASSUMED_CHARACTERS = 120
MAX_PROFILES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    name: str
    status: str
    verdict: str
    figure: str
    unit: str
    sentence: str
    detail: str

    @property
    def question(self) -> str:
        return QUESTIONS[self.name]


def answers(subject: Subject) -> list[Answer]:
    return [calibrated(subject), routed(subject), promised(subject), weak(subject)]


def calibrated(subject: Subject) -> Answer:
    before, after = subject.part("quality", "before"), subject.part("quality", "after")
    temperature = f"T\u00a0=\u00a0{shown_temperature(subject.temperature)}{_interval(subject)}."
    if after.get("ece15") is None:
        sentence = "The calibration holds no measure of its own error."
        return Answer("calibrated", UNKNOWN, "Not measured", NONE, "calibration error", sentence, temperature)
    status, verdict = _calibration_verdict(after)
    was = "" if before.get("ece15") is None else f", {error(before['ece15'])} before"
    sentence = (
        "Of labels given 90%, about 90% hold."
        if subject.multi_label
        else "Of rows given 90% confidence, about 90% are right."
    )
    if status == BAD:
        sentence = f"Confidence and accuracy differ by more than chance explains{_by_squares(after)}."
    if status == UNKNOWN:
        sentence = "Whether that is more than chance was not tested."
    band = (after.get("null") or {}).get("ece15")
    detail = temperature
    if band:
        detail = (
            f"Perfect calibration would show {error(band[0])} by chance on as many {subject.judged}s, below "
            f"{error(band[1])} in 95 of 100 draws; p\u00a0{_equals(_p_values(after).get('ece15'))}. {temperature}"
        )
    return Answer("calibrated", status, verdict, error(after["ece15"]), f"calibration error{was}", sentence, detail)


def routed(subject: Subject) -> Answer:
    threshold, promise = subject.thresholds.get(DEFAULT_PROFILE), subject.promise
    held_out, rows = promise.get("held_out"), promise.get("rows")
    unit = "of rows are routed"
    if threshold is None and not (held_out and promise.get("routes")):
        sentence = "Without a threshold every row goes to the fallback."
        return Answer("routed", CAUTION, "Nothing", "0%", unit, sentence, _turned_away(subject))
    if not held_out and not rows:
        sentence = f"The card sets the threshold {threshold:g} itself: what it lets through was not measured."
        return Answer("routed", UNKNOWN, "Not measured", NONE, unit, sentence, _turned_away(subject))
    if held_out:
        coverage, precision, accepted = held_out["coverage"], held_out["precision"], held_out["routed"]
        source = "measured on rows that did not choose the threshold"
    else:
        coverage, accepted = promise["accepted"] / rows, promise["accepted"]
        precision = 1 - promise["errors"] / accepted if accepted else None
        source = "measured on the rows that chose the threshold, so a little high"
    limits = thresholds(threshold, [part["threshold"] for part in kept(promise) if part is not promise])
    if not accepted or precision is None:
        sentence = f"No row reaches the {limits}."
        return Answer("routed", CAUTION, "Nothing", "0%", unit, sentence, _turned_away(subject))
    low, high = share_interval(precision, accepted)
    sentence = (
        f"Of those, {percent(precision)} go to the right place (95% interval {at_least(low)} to {percent(high)}), "
        f"{source}."
    )
    detail = " ".join(filter(None, [f"{limits.capitalize()}.", _turned_away(subject)]))
    verdict = "Most rows" if coverage >= 0.5 else "Some rows" if coverage >= 0.2 else "Few rows"
    status = GOOD if coverage >= 0.5 else CAUTION
    return Answer("routed", status, verdict, percent(coverage), unit, sentence, detail)


def promised(subject: Subject) -> Answer:
    promise = subject.promise
    unit = "of routed rows are right"
    tested = kept(promise)
    if not tested:
        explicit = subject.thresholds.get(DEFAULT_PROFILE) is not None
        sentence = "There is no threshold that a promise stands behind."
        if explicit:
            sentence = "The card sets the threshold itself, and a threshold that was not tested carries no promise."
        elif promise.get("precision") is not None:
            sentence = f"These rows carry no promise of {short_percent(promise['precision'])}."
        detail = " ".join(filter(None, [rows_needed(promise.get("rows_needed")), _profiles(subject)]))
        return Answer("promised", UNKNOWN, "Nothing", NONE, unit, sentence, detail)
    wanted = short_percent(promise["precision"])
    bound = min(part["lower_bound"] for part in tested)
    errors, accepted = (sum(part[name] for part in tested) for name in ("errors", "accepted"))
    least = "for each route by itself, " if promise.get("routes") else ""
    sentence = (
        f"Seen: {counted(errors, 'error')} among {count(accepted)} routed rows, {least}"
        f"a precision of {at_least(bound)} or more at the promised certainty."
    )
    detail = f"Assumes {assumed(promise)}, and traffic like these {counted(promise['rows'], 'row')}."
    detail = " ".join(filter(None, [detail, _profiles(subject)]))
    held_out = promise.get("held_out") or {}
    if held_out.get("precision") is not None and held_out["precision"] < promise["precision"]:
        detail = f"Held-out precision was {percent(held_out['precision'])}, below the promise. {detail}"
        return Answer("promised", CAUTION, "In doubt", f"≥ {wanted}", unit, sentence, detail)
    verdict = f"With {short_percent(1 - promise['risk'])} certainty"
    return Answer("promised", GOOD, verdict, f"≥ {wanted}", unit, sentence, detail)


def weak(subject: Subject) -> Answer:
    classes = subject.part("classes")
    seen, missing = recalls(classes), unseen(classes)
    one, many = subject.outcome
    unit = f"{many} with recall below {short_percent(WEAK_RECALL)}"
    if not seen:
        return Answer("weak", UNKNOWN, "Not measured", NONE, unit, f"No {one} has rows to judge it by.", "")
    few = sum(recall < WEAK_RECALL for recall in seen)
    worst = worst_classes(classes, 3)
    named = [f"{shortened(row.label, LABEL_CHARACTERS)} ({percent(row.recall, 0)})" for row in worst]
    sentence = f"Least often recognised: {joined(named)}." if worst else f"Every row of every {one} was recognised."
    rows = median(rows for rows in classes["rows"] if rows)
    low, high = share_interval(0.8, rows)
    detail = (
        f"A {one} has {counted(round(rows), 'row')} (median), on which a recall of 80% may be anything from "
        f"{percent(low, 0)} to {percent(high, 0)}."
    )
    if mistakes := subject.evidence.get("mistakes"):
        first = mistakes[0]
        detail = (
            f"Most confident mistake: row {count(first['row'])}, {shortened(truth(first), LABEL_CHARACTERS)} taken for "
            f"{shortened(first['predicted'], LABEL_CHARACTERS)} at {percent(first['confidence'])}. {detail}"
        )
    if missing:
        detail = f"{counted(missing, f'{one} has', f'{many} have')} no rows at all. {detail}"
    status = BAD if few > 0.2 * len(seen) else CAUTION if few or missing else GOOD
    verdict = f"In many {many}" if status == BAD else f"In some {many}" if few else "Nowhere in particular"
    return Answer("weak", status, verdict, f"{count(few)} of {count(len(seen))}", unit, sentence, detail)


def assumed(promise: Part) -> str:
    """The out-of-scope share that a promise counts on."""
    told = str(promise.get("assumes") or "no out-of-scope traffic").removesuffix(" assumed").removesuffix(".")
    return shortened(told, ASSUMED_CHARACTERS)


def truth(mistake: Part) -> str:
    """What a row is: one label, or where several may hold those that do."""
    label = mistake["label"]
    return label if isinstance(label, str) else ", ".join(label) or "no label"


def _calibration_verdict(quality: Part) -> tuple[str, str]:
    p_values = _p_values(quality)
    if not p_values:
        return UNKNOWN, "Not tested"
    if min(p_values.values()) < SIGNIFICANCE / len(p_values):
        small = quality["ece15"] < SMALL_ERROR and (quality.get("l2_debiased") or 0.0) < 2 * SMALL_ERROR
        return (CAUTION, "Nearly") if small else (BAD, "No")
    band = (quality.get("null") or {}).get("ece15")
    if band and band[1] > LARGE_NOISE:
        return CAUTION, "Too few rows to tell"
    return GOOD, "Yes, on these rows"


def _by_squares(quality: Part) -> str:
    """Named where the verdict turns on it, which the figure above would not bear out."""
    squares = quality.get("l2_debiased") or 0.0
    return f", by {error(squares)} in the root mean square" if squares >= SMALL_ERROR > quality["ece15"] else ""


def _p_values(quality: Part) -> dict[str, float]:
    return {name: value for name, value in (quality.get("p_value") or {}).items() if value is not None}


def _interval(subject: Subject) -> str:
    ends = subject.part("temperature").get("interval")
    if not ends or not isinstance(subject.temperature, int | float):
        return ""
    method = subject.part("temperature").get("interval_method")
    by = f", {method}" if method in {"bootstrap", "sandwich"} else ""
    return f" (95% interval {number(ends[0], 3)} to {number(ends[1], 3)}{by})"


def _equals(p_value: float | None) -> str:
    told = chance(p_value)
    return told if told.startswith("<") else f"= {told}"


def _turned_away(subject: Subject) -> str:
    gate = subject.part("gate")
    if subject.gate is None:
        return "" if subject.multi_label else "No out-of-scope gate."
    if gate.get("in_scope_rejected") is None:
        return ""
    out = gate.get("out_of_scope_rejected")
    and_out = "" if out is None else f" and {percent(out)} of out-of-scope rows"
    return f"The gate turns away {percent(gate['in_scope_rejected'])} of in-scope{and_out}."


def _profiles(subject: Subject) -> str:
    others = [_profile(name, subject.part("promises", name)) for name in subject.profiles if name != DEFAULT_PROFILE]
    more = f" and {count(len(others) - MAX_PROFILES)} more" if len(others) > MAX_PROFILES else ""
    return f"Profiles: {', '.join(others[:MAX_PROFILES])}{more}." if others else ""


def _profile(name: str, promise: Part) -> str:
    aim = f"≥ {short_percent(promise['precision'])}" if kept(promise) else "(no promise)"
    return f"{shortened(name, LABEL_CHARACTERS)} {aim}"


QUESTIONS = {
    "calibrated": "Is it calibrated?",
    "routed": "What will be routed?",
    "promised": "What is promised?",
    "weak": "Where is it weak?",
}
