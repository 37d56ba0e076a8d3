"""deploy/kubernetes/pod-monitor.yaml: finds the pods of docs/monitoring.md and names their job as the rules do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import promtool
from softgate.settings import Settings


@pytest.fixture(scope="session")
def monitor(deploy: Path) -> Any:
    return yaml.safe_load((deploy / "kubernetes/pod-monitor.yaml").read_text())


@pytest.fixture(scope="session")
def pods(root: Path) -> Any:
    """What the StatefulSet of the documentation makes."""
    text = (root / "docs/monitoring.md").read_text()
    (found,) = [piece for piece in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL) if "volumeClaim" in piece]
    return yaml.safe_load(found)["spec"]


def test_the_monitor_selects_the_pods_and_their_port(monitor: Any, pods: Any) -> None:
    template = pods["template"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (container,) = template["spec"]["containers"]

    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert container["ports"] == [
        {"name": endpoint["port"], "containerPort": Settings.model_fields["port"].default},
    ]
    assert endpoint["path"] == "/metrics"


def test_the_job_is_the_one_that_the_rules_look_for(monitor: Any) -> None:
    job = monitor["spec"]["selector"]["matchLabels"][monitor["spec"]["jobLabel"]]

    assert f'up{{job="{job}"}}' in promtool.rules("alert")["SoftgateDown"]["expr"]


def test_it_scrapes_as_often_as_prometheus_yml_and_grafana_expects(monitor: Any, deploy: Path) -> None:
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    config = yaml.safe_load((deploy / "prometheus/prometheus.yml").read_text())
    (source,) = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]

    assert endpoint["interval"] == config["global"]["scrape_interval"] == source["jsonData"]["timeInterval"]


def test_the_state_of_the_detectors_is_on_a_volume_of_the_pod(pods: Any) -> None:
    (container,) = pods["template"]["spec"]["containers"]
    (claim,) = pods["volumeClaimTemplates"]
    (mount,) = container["volumeMounts"]

    assert mount["name"] == claim["metadata"]["name"]
    assert container["env"] == [{"name": "SOFTGATE_STATE_DIR", "value": mount["mountPath"]}]
    assert "state_dir" in Settings.model_fields
