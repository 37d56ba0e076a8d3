"""The drift report: each window of traffic beside the reference, with a verdict where there is one."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from softgate.numerics.accuracy import share_shift
from softgate.numerics.categories import exploded, pooled_rare, vanished, z_of_shares
from softgate.numerics.drift import DRIFT_STATISTICS, Distance, chi_squared
from softgate.numerics.histogram import Counts, coarsen
from softgate.numerics.shift import Shift, deviation_shift, mean_shift
from softgate.policy.monitor import rules
from softgate.policy.monitor.axes import MEASURES, below
from softgate.policy.monitor.board import Board, Watched
from softgate.policy.monitor.detectors import BROKEN, n_answered
from softgate.policy.monitor.estimate import estimates
from softgate.policy.monitor.told import DetectorState, Measure, Mix, Mover, Report, Statistic, Told, Window
from softgate.policy.monitor.windows import WINDOWS
from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.runtime.reference import Histogram, Reference
from softgate.types import Action, Floats, Reason

SIGNIFICANT = 0.001
N_MOVERS = 5
# A rare label that occurs at all has a large z and says little: those are looked at more closely.
N_CANDIDATES = 50
DECILES = "label_confidence_deciles"

Counted = Mapping[str, Floats]


def report(board: Board, model: str, *, now: float) -> Report:
    """`now` is the clock's that the board was made with."""
    watched, total = board.watched[model], board.counts.total()
    spans = {name: board.windows.since(name, total, now=now) for name in WINDOWS}
    windows = [
        window(watched, board.view(counts, watched), name=name, seconds=seconds, since=board.updated_at - seconds)
        for name, (counts, seconds) in spans.items()
    ]
    return describe(watched, windows, updated_at=board.updated_at)


def describe(watched: Watched, windows: Sequence[Window], *, updated_at: float) -> Report:
    """The windows of a model, with its reference and its detectors as they stand."""
    states, reference = detector_states(watched), watched.reference
    return Report(
        model=watched.bundle.name,
        version=watched.bundle.version,
        calibration=watched.calibration_id,
        reference=None if reference is None else _told(reference),
        alarm=any(state.alarm for state in states),
        alarm_every=watched.bundle.card.monitoring.alarm_every,
        detectors=states,
        windows=windows,
        updated_at=updated_at,
    )


def detector_states(watched: Watched) -> Sequence[DetectorState]:
    states = watched.states.copy()
    return [
        DetectorState(
            detector=detector.name,
            alarm=bool(state["alarm"]),
            raised_at=float(state["raised_at"]) if state["alarm"] else None,
            alarms=int(state["alarms"]),
            evidence=min(1.0, float(state["evidence"].mean()) / detector.budget),
            rows=int(state["rows"]),
            budget=detector.budget,
        )
        for detector, state in zip(watched.detectors, states, strict=True)
    ]


def window(watched: Watched, counted: Counted, *, name: str, seconds: float, since: float) -> Window:
    """What these counts of a model say, `seconds` of traffic."""
    reference, labels = watched.reference, watched.axes.labels
    n_rows, n_finite = int(counted["decisions"].sum()), int(counted["label_confidence"].sum())
    known = None if reference is None else reference.labels
    return Window(
        window=name,
        seconds=seconds,
        rows=n_rows,
        finite_rows=n_finite,
        decisions=_decisions(counted["decisions"]),
        measures=_measures(watched, reference, counted),
        labels=_mix(known, counted["labels"], labels),
        routes=_mix(None if reference is None else reference.routes, counted["routes"], watched.axes.routes),
        movers=_movers(known, counted["labels"], labels),
        rules=rules.judge(rule_bounds(watched), rule_values(watched, counted), rows=n_rows, finite_rows=n_finite),
        estimated_accuracy=estimates(watched, counted, since=since),
    )


def rule_bounds(watched: Watched) -> Mapping[str, float]:
    return rules.bounds(
        watched.bundle.card.monitoring,
        watched.reference,
        threshold=watched.axes.thresholds.get(DEFAULT_PROFILE),
    )


def rule_values(watched: Watched, counted: Counted) -> Mapping[str, float]:
    """What the plain rules look at; nothing that has no rows."""
    decisions, n_finite = counted["decisions"], float(counted["label_confidence"].sum())
    n_rows = n_answered(decisions)
    values: dict[str, float] = {}
    if n_finite:
        mean = float(counted["sums"][0]) / n_finite
        values |= {rules.ABOVE: mean, rules.BELOW: mean}
        values[rules.CLARIFY] = float(decisions[int(Action.CLARIFY) * len(Reason) + int(Reason.AMBIGUOUS)]) / n_rows
        under = rows_below(watched, counted).get(DEFAULT_PROFILE)
        values |= {} if under is None else {rules.UNDER: under / n_finite}
    if n_rows:
        values[rules.NON_FINITE] = float(decisions[BROKEN]) / n_rows
    return values


def rows_below(watched: Watched, counted: Counted) -> Mapping[str, float]:
    """Finite rows whose route confidence lies below each profile's threshold, whatever profile they asked for."""
    edges = watched.axes.edges["route_confidence"]
    cumulated = np.cumsum(counted["route_confidence"])
    return {
        profile: float(cumulated[np.searchsorted(edges, below(threshold))])
        for profile, threshold in watched.axes.thresholds.items()
    }


def _told(reference: Reference) -> Told:
    held = reference.histograms["label_confidence"]
    return Told(
        rows=reference.rows,
        mean_confidence=held.mean,
        standard_deviation=held.standard_deviation,
        upper_edges=held.upper_edges.tolist(),
        counts=held.counts.tolist(),
    )


def _decisions(cells: Floats) -> Mapping[str, int]:
    table = cells.reshape(len(Action), len(Reason))
    return {
        f"{Action(action).word} {Reason(reason).word}": int(table[action, reason])
        for action, reason in zip(*np.nonzero(table), strict=True)
    }


def _measures(watched: Watched, reference: Reference | None, counted: Counted) -> Mapping[str, Measure]:
    found = {}
    for place, name in enumerate(MEASURES):
        edges, counts = watched.axes.edges[name], counted[name]
        # A row that is being counted may not have got here yet.
        n_rows = int(counts.sum())
        if not len(edges) or not n_rows:
            continue
        moments = _moments(float(counted["sums"][place]) / n_rows, float(counted["squares"][place]) / n_rows)
        known = None if reference is None else reference.histograms.get(name)
        coarse = edges if known is None else known.upper_edges
        binned = _whole(coarsen(counts, edges, coarse))
        deciles = None if reference is None or name != "label_confidence" else reference.histograms.get(DECILES)
        found[name] = Measure(
            mean=None if moments is None else moments[0],
            standard_deviation=None if moments is None else moments[1],
            upper_edges=coarse.tolist(),
            counts=binned.tolist(),
            statistics={
                **({} if known is None else _statistics(known, binned)),
                **({} if known is None or moments is None else _mean_shift(known, moments, n_rows)),
                **({} if deciles is None else _on_deciles(deciles, counts, edges)),
            },
        )
    return found


def _moments(mean: float, square: float) -> tuple[float, float] | None:
    """Mean and standard deviation from the means of a score and its square; None where a sum has left the range."""
    if not math.isfinite(mean) or not math.isfinite(square):
        return None
    return mean, math.sqrt(max(0.0, square - mean * mean))


def _statistics(known: Histogram, counts: Counts) -> Mapping[str, Statistic]:
    distances = {
        name: _of_distance(distance(known.counts, counts, known.upper_edges))
        for name, distance in DRIFT_STATISTICS.items()
    }
    spread = deviation_shift(known.counts, counts, known.upper_edges)
    return {**distances, "standard_deviation_shift": _of_shift(spread)}


def _mean_shift(known: Histogram, moments: tuple[float, float], n_rows: int) -> Mapping[str, Statistic]:
    m = int(known.counts.sum())
    return {"mean_shift": _of_shift(mean_shift((known.mean, known.standard_deviation, m), (*moments, n_rows)))}


def _on_deciles(deciles: Histogram, counts: Floats, edges: Floats) -> Mapping[str, Statistic]:
    """PSI of bins that hold equally many rows of the reference: the one whose chance is known best."""
    binned = _whole(coarsen(counts, edges, deciles.upper_edges))
    psi = DRIFT_STATISTICS["psi"](deciles.counts, binned, deciles.upper_edges)
    return {"psi": _of_distance(psi), "chi_squared": _of_distance(chi_squared(deciles.counts, binned))}


def _mix(reference: Counts | None, counted: Floats, names: Sequence[str]) -> Mix:
    if reference is None or len(reference) != len(counted) or not reference.sum():
        return Mix(None, [], [])
    window = _whole(counted)
    compared = _of_distance(chi_squared(*pooled_rare(reference, window))) if window.sum() else None
    return Mix(
        compared,
        [names[place] for place in np.flatnonzero(vanished(reference, window)).tolist()],
        [names[place] for place in np.flatnonzero(exploded(reference, window)).tolist()],
    )


def _movers(reference: Counts | None, counted: Floats, names: Sequence[str]) -> Sequence[Mover]:
    n_rows = counted.sum()
    if reference is None or len(reference) != len(counted) or not n_rows or not reference.sum():
        return []
    window, z = _whole(counted), z_of_shares(reference, counted)
    m, n = int(reference.sum()), int(window.sum())
    movers = []
    for place in np.argsort(-np.abs(z), kind="stable")[:N_CANDIDATES].tolist():
        before, now = int(reference[place]), int(window[place])
        # Fisher's test to either side, for as many labels as there are.
        tail = share_shift(before, m, now, n) if z[place] > 0 else share_shift(now, n, before, m)
        p_value = min(1.0, 2 * tail * len(names))
        movers.append(Mover(names[place], before / m, now / n, float(z[place]), p_value, p_value < SIGNIFICANT))
    return sorted((mover for mover in movers if mover.z), key=lambda mover: mover.p_value)[:N_MOVERS]


def _of_distance(distance: Distance) -> Statistic:
    return Statistic(distance.value, distance.floor, None, distance.p_value, _significant(distance.p_value))


def _of_shift(shift: Shift) -> Statistic:
    return Statistic(shift.value, shift.floor, shift.z, shift.p_value, _significant(shift.p_value))


def _significant(p_value: float | None) -> bool | None:
    return None if p_value is None else p_value < SIGNIFICANT


def _whole(counts: Floats) -> Counts:
    return np.rint(counts).astype(np.intp)
