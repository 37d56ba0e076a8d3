"""The use case: labelled rows of a model → its calibration, or a refusal that says what is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from softgate.errors import DataInvalid
from softgate.numerics.conformal import SET_SCORES
from softgate.numerics.out_of_scope import is_log_softmax, is_softmax
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.policy.decision import Routing, routing
from softgate.runtime.calibration import DEFAULT_PROFILE, DEFAULT_SET_SCORE, Calibration, canonical, seal, sha256
from softgate.runtime.card import Card, Profile
from softgate.runtime.repository import Model
from softgate.workbench.calibrate import sealed
from softgate.workbench.calibrate.account import Found, account
from softgate.workbench.calibrate.doubts import LOG_SOFTMAX, SOFTMAX, doubts
from softgate.workbench.calibrate.fit import Fit, Recipe, fit, plain
from softgate.workbench.calibrate.held_out import cross_fit, judge_apart
from softgate.workbench.calibrate.judged import judge
from softgate.workbench.calibrate.labelled import Data, Labelled
from softgate.workbench.calibrate.limits import Aims, choose, stated
from softgate.workbench.calibrate.promised import refuse_broken
from softgate.workbench.calibrate.reference import reference
from softgate.workbench.calibrate.richer import compare

N_FOLDS = 5

Stage = Callable[[str], None]
"""Called with what is being done."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for beside the card."""

    robust: bool = True
    richer: bool = True
    set_score: str = DEFAULT_SET_SCORE
    sets_per_class: bool = False
    per_route: bool = False


@dataclass(frozen=True, slots=True)
class Calibrated:
    calibration: Calibration
    rows: Labelled
    content: bytes
    """The file that says it."""
    doubts: Sequence[str]
    """Sentences for the person who gave the labels."""


def calibrate(model: Model, data: Data, apart: Data | None, *, options: Options, stage: Stage) -> Calibrated:
    """
    `apart`: rows of another file to judge by; without, each fold of the rows is judged by what the others give.

    Raises DataInvalid where the rows carry no fit, or not the promises that the card makes.
    """
    bundle, rows = model.bundle, data.rows
    card = bundle.card
    if rows.several and (options.per_route or options.sets_per_class or options.set_score != DEFAULT_SET_SCORE):
        raise DataInvalid(
            "Labels of this model may hold at the same time: it has no prediction sets, and what is promised is one "
            "decision per row, whichever label makes it. Leave out --sets, --sets-per-class and --per-route."
        )
    stage("Fitting the temperature")
    recipe = Recipe(card.activation, robust=options.robust and card.activation == "softmax")
    n_folds = min(N_FOLDS, len(rows))
    richer = compare(recipe, rows, n_folds=n_folds) if options.richer and n_folds > 1 else None
    if richer is not None and richer.chosen:
        recipe = replace(recipe, rich=True)
    fitted = _fitted(recipe, rows)
    laid_out = routing(card.routing, None, bundle.labels, multi_label=card.multi_label)
    aims = _aims(card, options, laid_out, no_gate=_no_gate(model, rows))
    stage("Choosing what keeps the promises")
    seen = judge(
        rows,
        fitted,
        grouping=laid_out.grouping,
        score=SET_SCORES[aims.set_score],
        with_energy=aims.no_gate is None,
    )
    limits = choose(rows, seen, fitted, laid_out, aims)
    refuse_broken(limits, rows, seen, laid_out, per_route=options.per_route)
    stage("Judging rows by what others fitted")
    try:
        held_out = (
            cross_fit(rows, recipe, laid_out, aims, n_folds=n_folds)
            if apart is None
            else judge_apart(apart.rows, fitted, laid_out, limits, aims)
        )
    except ValueError as exc:
        raise DataInvalid(f"The rows are too few to judge some by the others: {exc}") from exc
    stage("Writing down the evidence")
    found = Found(
        fit=fitted,
        plain=fit(plain(recipe), rows) if recipe != plain(recipe) else None,
        richer=richer,
        routing=laid_out,
        aims=aims,
        limits=limits,
        held_out=held_out,
        n_folds=n_folds if apart is None else None,
    )
    values = sealed.parts(bundle, fitted, limits, laid_out, set_score=aims.set_score)
    calibration = sealed.in_force(values)
    served = routing(card.routing, calibration, bundle.labels, multi_label=card.multi_label)
    values["reference"] = reference(rows, fitted, served, with_energy=aims.no_gate is None)
    values["evidence"] = account(bundle, data, apart, found)
    told = replace(calibration, evidence=values["evidence"], digest=sha256(canonical(values)))
    return Calibrated(told, rows, seal(values), doubts(found, rows, values["evidence"]["quality"]))


def _fitted(recipe: Recipe, rows: Labelled) -> Fit:
    try:
        found = fit(recipe, rows)
    except ValueError as exc:
        raise DataInvalid(f"The temperature cannot be fitted: {exc}") from exc
    if found.clamped:
        low, high = TEMPERATURE_RANGE
        why = "The examples are too few, or the model was trained on them; wanted rows it has not seen."
        if found.temperature == high:
            why = "The labels do not fit what the model says; wanted labels.txt in the order of the graph's columns."
        elif recipe.robust:
            why += " Labels may also have been taken for wrong that are right: try --plain."
        raise DataInvalid(
            f"The fitted temperature lies at {found.temperature:g}, an end of the range {low:g} to {high:g}. {why}"
        )
    return found


def _no_gate(model: Model, rows: Labelled) -> str | None:
    """Why there can be no gate; None where there can."""
    if rows.several:
        return "labels that may hold at the same time have no energy in common"
    if not model.has_energy:
        return "the graph gives no raw logits, and probabilities do not say how familiar a row is"
    logits = rows.logits[rows.in_scope]
    if is_log_softmax(logits):
        return LOG_SOFTMAX
    if is_softmax(logits):
        return SOFTMAX
    return None


def _aims(card: Card, options: Options, laid_out: Routing, *, no_gate: str | None) -> Aims:
    default = Profile(card.routing.precision, card.routing.risk)
    # A threshold that the card states overrides every other, and where it states all, nothing is promised.
    profiles = {} if stated(laid_out).all() else {DEFAULT_PROFILE: default, **card.routing.profiles}
    return Aims(
        share=card.routing.out_of_scope,
        no_gate=no_gate,
        coverage=card.routing.coverage,
        set_score=options.set_score,
        sets_per_class=options.sets_per_class,
        profiles=profiles,
        per_route=options.per_route,
    )
