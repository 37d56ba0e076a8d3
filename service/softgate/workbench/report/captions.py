"""One sentence per figure that says what is seen in this data, not what such a figure is."""

from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.workbench.report.selection import operating_point, set_sizes, share_interval
from softgate.workbench.report.subject import Part, Subject
from softgate.workbench.report.words import (
    at_least,
    count,
    counted,
    error,
    joined,
    number,
    percent,
    rows_needed,
    short_percent,
)


def reliability(subject: Subject, when: str) -> str:
    bins, quality = subject.part("reliability", when), subject.part("quality", when)
    columns = (bins[key] for key in ("rows", "confidence", "accuracy"))
    filled = [row for row in zip(*columns, strict=True) if row[0] and None not in row]
    if not filled:
        return "No rows to compare confidence with accuracy."
    total = sum(rows for rows, *_ in filled)
    lean = sum(rows * (confidence - accuracy) for rows, confidence, accuracy in filled) / total
    intervals = [(confidence, share_interval(accuracy, rows)) for rows, confidence, accuracy in filled]
    outside = sum(not low <= confidence <= high for confidence, (low, high) in intervals)
    fit = (
        f"off the diagonal by more than the 95% interval: {outside} of {counted(len(filled), 'filled bin')}"
        if outside
        else f"the diagonal lies within the 95% interval of {'all ' if len(filled) > 1 else ''}"
        f"{counted(len(filled), 'filled bin')}"
    )
    ece = "" if quality.get("ece15") is None else f" (ECE {error(quality['ece15'])})"
    said = f"{counted(total, subject.judged)}{ece}: {_leaning(lean, pairs=subject.multi_label)}; {fit}."
    # Most labels do not hold in most rows, and that alone makes the mean error small.
    easy = f" {percent(bins['rows'][0] / total)} of the pairs lie in the lowest bin." if subject.multi_label else ""
    return said + easy


def confidence(histogram: Part) -> str:
    right, wrong, out = (histogram.get(name) or [0] for name in ("right", "wrong", "out_of_scope"))
    edges = histogram["upper_edges"]
    start = edges[-2] if len(edges) > 1 else 0.0
    groups = ((right, "right answers"), (wrong, "wrong ones"), (out, "out-of-scope rows"))
    words = [f"{percent(rows[-1] / sum(rows), 0)} of the {name}" for rows, name in groups if sum(rows)]
    return f"Above a confidence of {start:g} lie {joined(words) if words else 'no rows'}."


def risk_coverage(subject: Subject) -> str:
    threshold = subject.thresholds.get(DEFAULT_PROFILE)
    point = None if threshold is None else operating_point(subject, threshold)
    oracle = subject.part("risk_coverage").get("oracle") or {}
    known = sorted((float(level), share) for level, share in oracle.items() if share is not None)
    best = [f"{percent(share)} at {short_percent(level)}" for level, share in known]
    hindsight = f" Best in hindsight: {joined(best)} precision." if best else ""
    if point is None:
        return f"No threshold to mark on the curve.{hindsight}"
    return (
        f"The threshold {number(threshold, 3)} routes {percent(point[0])} of the rows at {percent(point[1])} "
        f"precision.{hindsight}"
    )


def threshold(promise: Part) -> str:
    tested = promise.get("tested") or {}
    bounds = tested.get("lower_bound") or []
    passing = sum(bound is not None and bound >= promise["precision"] for bound in bounds)
    chosen = promise.get("threshold")
    if chosen is None:
        needed = rows_needed(promise.get("rows_needed"))
        return " ".join(filter(None, [f"No threshold carries {short_percent(promise['precision'])}.", needed]))
    return (
        f"At {number(chosen, 3)} the bound is {at_least(promise['lower_bound'])}; {count(passing)} of "
        f"{count(len(bounds))} thresholds tried have a bound of {short_percent(promise['precision'])} or more."
    )


def gate(part: Part) -> str:
    out = part.get("out_of_scope_rejected")
    kept = "no out-of-scope rows to try it on" if out is None else f"{percent(out)} of the out-of-scope rows"
    auroc = "" if part.get("auroc") is None else f" (AUROC {number(part['auroc'], 3)})"
    return (
        f"Turned away, left of the gate: {percent(part.get('in_scope_rejected'))} of the in-scope rows, allowed "
        f"{short_percent(part['share'])}; {kept}{auroc}."
    )


def sets(part: Part) -> str:
    sizes = dict(set_sizes(part["sizes"]))
    held = part.get("held_out_coverage")
    truth = "" if held is None else f"; the sets hold the truth for {percent(held)} of unseen rows"
    return (
        f"{percent(sizes.get('1', 0.0))} of the rows get a single label, mean size "
        f"{number(part['mean_size'], 2)}{truth}, wanted {short_percent(part['coverage'])}."
    )


def _leaning(lean: float, *, pairs: bool) -> str:
    if abs(lean) < 0.0005:
        return "right on the whole"
    if pairs:
        return f"probabilities too {'high' if lean > 0 else 'low'} by {error(abs(lean))} on the whole"
    return f"{'over' if lean > 0 else 'under'}-confident by {percent(abs(lean))} on the whole"
