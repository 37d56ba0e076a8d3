"""`GET /v1/models`: what is served, with its card, labels, calibration and evidence."""

from typing import Any

from fastapi import APIRouter

from softgate.policy.catalogue import Catalogue
from softgate.runtime.pace import Pace
from softgate.runtime.repository import Bundle
from softgate.web.schema.models import Calibration, Model, ModelList, ModelSummary
from softgate.web.schema.problems import problems, without_input


def routes(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("", summary="The models served")
    async def list_models() -> ModelList:
        """Name, version, kind of input and calibration of each; `ready` once it answers."""
        return ModelList(models=[_summary(catalogue, bundle) for bundle in catalogue.bundles.values()])

    @router.get("/{model}", summary="One model", responses=problems(404) | without_input())
    async def get_model(model: str) -> Model:
        """Its labels, its routing, its calibration and the evidence for it."""
        return _model(catalogue, catalogue.bundle(model))

    return router


def _summary(catalogue: Catalogue, bundle: Bundle) -> ModelSummary:
    classifier = catalogue.classifiers.get(bundle.name)
    pace = None if classifier is None else classifier.model.pace
    return ModelSummary(
        name=bundle.name,
        version=bundle.version,
        ready=bundle.name not in catalogue.waiting,
        input=bundle.card.input.kind,
        activation=bundle.card.activation,
        n_labels=len(bundle.labels),
        runs_on=None if classifier is None else classifier.runs_on,
        threads=None if pace is None else pace.threads,
        parallel_runs=None if classifier is None else classifier.parallel_runs,
        microseconds_per_row=None if pace is None else _microseconds_per_row(pace),
        calibration=None if bundle.calibration is None else bundle.calibration.id,
    )


def _microseconds_per_row(pace: Pace) -> dict[str, float]:
    return {str(rows): round(seconds / rows * 1e6, 1) for rows, seconds in pace.seconds.items()}


def _model(catalogue: Catalogue, bundle: Bundle) -> Model:
    return Model(
        **_summary(catalogue, bundle).model_dump(),
        sha256=bundle.model_sha256,
        labels=list(bundle.labels),
        card=dict(bundle.card.raw),
        calibration_detail=_calibration(bundle),
    )


def _calibration(bundle: Bundle) -> Calibration | None:
    calibration = bundle.calibration
    if calibration is None:
        return None
    return Calibration(
        id=calibration.id,
        temperature=_listed(calibration.temperature),
        bias=_listed(calibration.bias),
        noise=calibration.noise,
        gate=calibration.gate,
        set_quantile=_listed(calibration.set_quantile),
        set_score=calibration.set_score,
        thresholds=dict(calibration.thresholds),
        route_thresholds={profile: dict(own) for profile, own in calibration.route_thresholds.items()},
        reference=dict(calibration.written_reference),
        evidence=dict(calibration.evidence),
    )


def _listed(numbers: float | tuple[float, ...] | None) -> Any:
    return list(numbers) if isinstance(numbers, tuple) else numbers
