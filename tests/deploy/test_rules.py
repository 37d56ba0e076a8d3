"""The files of Prometheus and Alertmanager: valid, closed in themselves, and about metrics that exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import promtool
from tools import tool

METRIC = re.compile(r"\bsoftgate_\w+")
RECORD = re.compile(r"\bsoftgate:[\w:]+")


def test_promtool_has_nothing_to_say_of_the_rules() -> None:
    command = [tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(promtool.RULES)]

    subprocess.run(command, check=True)


def test_promtool_finds_a_rule_that_is_written_twice(tmp_path: Path) -> None:
    twice = tmp_path / "rules.yml"
    rule = {"record": "softgate:one:sum", "expr": "sum(up)"}
    twice.write_text(yaml.safe_dump({"groups": [{"name": "twice", "rules": [rule, rule]}]}))

    command = [tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(twice)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 3


def test_promtool_accepts_the_configuration_with_the_rules(deploy: Path) -> None:
    command = [tool("promtool"), "check", "config", str(deploy / "prometheus/prometheus.yml")]

    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert "1 rule files found" in done.stdout


def test_amtool_accepts_the_example_of_an_alertmanager(deploy: Path) -> None:
    subprocess.run([tool("amtool"), "check-config", str(deploy / "alertmanager/alertmanager.yml")], check=True)


def test_amtool_refuses_an_unknown_receiver(deploy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "alertmanager.yml"
    text = (deploy / "alertmanager/alertmanager.yml").read_text()
    broken.write_text(text.replace("receiver: pager", "receiver: nobody"))

    assert subprocess.run([tool("amtool"), "check-config", str(broken)], check=False, capture_output=True).returncode


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "desk"), ("info", "desk")])
def test_the_example_of_an_alertmanager_wakes_somebody_for_what_is_critical(
    severity: str, receiver: str, deploy: Path
) -> None:
    command = [tool("amtool"), "config", "routes", "test", f"--config.file={deploy}/alertmanager/alertmanager.yml"]

    done = subprocess.run([*command, f"severity={severity}"], check=True, capture_output=True, text=True)

    assert done.stdout.split() == [receiver]


def test_the_example_of_an_alertmanager_leaves_the_machine_alone_and_holds_no_secret(deploy: Path) -> None:
    text = (deploy / "alertmanager/alertmanager.yml").read_text()

    assert set(re.findall(r"\w+://([\w.]+)", text)) == {"127.0.0.1"}
    assert not re.search("password|token|secret:|credentials|api_key", text)


def expressions() -> Iterator[str]:
    for group in promtool.groups():
        yield from (rule["expr"] for rule in group["rules"])


def test_rules_read_metrics_that_exist(exposition: str) -> None:
    exposed = {sample.name for family in text_string_to_metric_families(exposition) for sample in family.samples}

    assert {name for expression in expressions() for name in METRIC.findall(expression)} <= exposed


def test_rules_read_records_that_exist_and_stand_above_them_or_in_another_group() -> None:
    for group in promtool.groups():
        own = [rule["record"] for rule in group["rules"] if "record" in rule]
        for place, rule in enumerate(group["rules"]):
            read = set(RECORD.findall(rule["expr"]))
            assert read <= promtool.rules("record").keys()
            assert read.isdisjoint(own[place:])


def test_models_versions_and_calibrations_are_told_apart() -> None:
    kept = [re.findall(r"\b(?:by|on) \(([^)]*model[^)]*)\)", expression) for expression in expressions()]

    assert {labels[:27] for found in kept for labels in found} == {"model, version, calibration"}


@pytest.mark.parametrize("name", promtool.rules("record"))
def test_a_record_is_named_by_level_metric_and_operation_with_its_window(name: str) -> None:
    windows = re.findall(r"\[(\d+[smhd])\]", promtool.rules("record")[name]["expr"])

    assert re.fullmatch(r"softgate:[a-z_]+:[a-z_]+(1h|15m|5m)?", name)
    assert all(name.endswith(window) for window in windows)


def test_the_names_in_runbooks_exist(exposition: str, root: Path) -> None:
    exposed = {sample.name for family in text_string_to_metric_families(exposition) for sample in family.samples}
    texts = [path.read_text() for path in (root / "docs/runbooks").glob("*.md")]

    assert {name for text in texts for name in METRIC.findall(text)} <= exposed
    assert {name for text in texts for name in RECORD.findall(text)} <= promtool.rules("record").keys()
