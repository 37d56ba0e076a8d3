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


def test_without_tokens_a_policy_keeps_strangers_from_the_pods(monitor: Any, pods: Any, deploy: Path) -> None:
    policy = yaml.safe_load((deploy / "kubernetes/network-policy.yaml").read_text())
    (container,) = pods["template"]["spec"]["containers"]
    (rule,) = policy["spec"]["ingress"]

    assert {"name": "SOFTGATE_ALLOW_PUBLIC", "value": "true"} in container["env"]
    assert "allow_public" in Settings.model_fields
    assert policy["spec"]["podSelector"] == monitor["spec"]["selector"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert rule["ports"] == [{"port": container["ports"][0]["name"]}]
    assert {} not in rule["from"]
    assert policy["spec"]["egress"] == []


def test_what_the_documentation_and_the_manifests_say_of_tokens_is_yaml_once_it_is_no_comment(
    root: Path, deploy: Path
) -> None:
    text = (root / "docs/monitoring.md").read_text()
    (found,) = [piece for piece in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL) if "volumeClaim" in piece]
    told = yaml.safe_load(re.sub(r"# (?=[-v])", "", re.sub(r"#.*:\n", "\n", found)))["spec"]["template"]["spec"]
    (container,) = told["containers"]
    (volume,) = told["volumes"]
    mount = next(each for each in container["volumeMounts"] if each["name"] == volume["name"])
    path = next(each["value"] for each in container["env"] if each["name"] == "SOFTGATE_TOKENS_FILE")

    assert Path(path).parent == Path(mount["mountPath"])
    for name, place in (
        ("kubernetes/pod-monitor.yaml", "credentials"),
        ("prometheus/prometheus.yml", "credentials_file"),
    ):
        (line,) = re.findall(r"^ *# +(authorization: .*)$", (deploy / name).read_text(), flags=re.MULTILINE)
        assert place in yaml.safe_load(line)["authorization"]


def test_the_state_of_the_detectors_is_on_a_volume_of_the_pod(pods: Any) -> None:
    (container,) = pods["template"]["spec"]["containers"]
    (claim,) = pods["volumeClaimTemplates"]
    (mount,) = container["volumeMounts"]

    assert mount["name"] == claim["metadata"]["name"]
    assert {"name": "SOFTGATE_STATE_DIR", "value": mount["mountPath"]} in container["env"]
    assert "state_dir" in Settings.model_fields
