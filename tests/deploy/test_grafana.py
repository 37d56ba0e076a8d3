"""deploy/grafana/dashboards: rules that a dashboard keeps, each with a broken copy that it finds."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import promtool
from dashboard_rules import RECORD, RECORD_RULES, RULES, Labels
from dashboards import DASHBOARDS, Dashboard, read
from softgate.workbench.dashboards.__main__ import main
from softgate.workbench.dashboards.files import RULES as RULES_FILE
from softgate.workbench.dashboards.files import files


@pytest.fixture(scope="session")
def exposed(exposition: str) -> Labels:
    families = text_string_to_metric_families(exposition)
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


PAIRS = [
    pytest.param(rule, path, id=f"{rule.__name__}-{path.stem}")
    for path in DASHBOARDS
    for rule in [*RULES, *(RECORD_RULES if RECORD.search(path.read_text()) else [])]
]


@pytest.mark.parametrize(("rule", "path"), PAIRS)
def test_a_dashboard_keeps_the_rule(
    rule: Callable[[Dashboard, Labels], Iterator[str]], path: Path, exposed: Labels
) -> None:
    assert list(rule(read(path), exposed)) == []


@pytest.mark.parametrize(("rule", "path"), PAIRS)
def test_a_broken_copy_is_found(
    rule: Callable[[Dashboard, Labels], Iterator[str]], path: Path, exposed: Labels
) -> None:
    broken = copy.deepcopy(read(path))

    {**RULES, **RECORD_RULES}[rule](broken)

    assert list(rule(broken, exposed))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_named_after_its_file(path: Path) -> None:
    dashboard = read(path)

    assert (dashboard["uid"], dashboard["editable"]) == (path.stem, False)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_indented_by_two(path: Path) -> None:
    """One form, so that a difference shows what changed and nothing else."""
    text = path.read_text()

    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_there_are_three_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == ["softgate-confidence", "softgate-routing", "softgate-service"]


def test_the_generated_files_are_those_that_the_code_makes(deploy: Path) -> None:
    """Written by `make dashboards`."""
    made = files((deploy / RULES_FILE).read_text())

    assert [name for name, text in made.items() if (deploy / name).read_text() != text] == []
    assert {path.name for path in DASHBOARDS} == {Path(name).name for name in made if name.endswith(".json")}


def test_the_files_are_written_into_the_folder_given(deploy: Path, tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    (tmp_path / RULES_FILE).write_bytes((deploy / RULES_FILE).read_bytes())

    main([str(tmp_path)])

    assert all((tmp_path / name).read_text() == text for name, text in files((deploy / RULES_FILE).read_text()).items())


def test_the_manifest_of_the_rules_holds_the_rules(deploy: Path) -> None:
    manifest = yaml.safe_load((deploy / "kubernetes/prometheus-rule.yaml").read_text())

    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["spec"]["groups"] == promtool.groups()


def test_the_config_maps_hold_the_dashboards_for_the_sidecar(deploy: Path) -> None:
    maps = list(yaml.safe_load_all((deploy / "kubernetes/grafana-dashboards.yaml").read_text()))
    held = {name: text for one in maps for name, text in one["data"].items()}

    assert [one["metadata"]["labels"]["grafana_dashboard"] for one in maps] == ["1"] * len(DASHBOARDS)
    assert held == {path.name: path.read_text() for path in DASHBOARDS}
    # What an apply keeps of an object beside it may not be larger.
    assert all(len(text) < 262_144 for text in held.values())
