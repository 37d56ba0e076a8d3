"""Every generated file of deploy/, by its path in there."""

import json
from collections.abc import Callable, Mapping, Sequence

from softgate.workbench.dashboards.confidence import confidence
from softgate.workbench.dashboards.manifests import config_maps, prometheus_rule
from softgate.workbench.dashboards.page import Dashboard
from softgate.workbench.dashboards.routing import routing
from softgate.workbench.dashboards.service import service

RULES = "prometheus/rules.yml"


def files(rules: str) -> Mapping[str, str]:
    """Path → text; `rules` is the text of prometheus/rules.yml, the one source that is not code."""
    texts = {page["uid"]: _written(page) for page in (make() for make in DASHBOARDS)}
    return {
        **{f"grafana/dashboards/{uid}.json": text for uid, text in texts.items()},
        "kubernetes/prometheus-rule.yaml": prometheus_rule(rules),
        "kubernetes/grafana-dashboards.yaml": config_maps(texts),
    }


def _written(page: Dashboard) -> str:
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


DASHBOARDS: Sequence[Callable[[], Dashboard]] = (routing, confidence, service)
