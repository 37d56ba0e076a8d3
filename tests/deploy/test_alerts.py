"""deploy/prometheus/rules.yml: every alert fires when it should, is silent when it should be, and leads somewhere."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import promtool
from alerts import CASES, Case
from exported import MINUTES, MODEL_OF, confidence, still
from promtool import Rule, series
from softgate import errors
from softgate.errors import SoftgateError
from softgate.web.errors import problem

SECTIONS = ["Symptom", "Check", "Action", "Verify"]
ALERTS = promtool.rules("alert")


def told(name: str, case: Case) -> list[dict[str, Any]]:
    """The alert, with all that it says."""
    written, rule = ALERTS[name]["annotations"], ALERTS[name]
    annotations = {
        "summary": written["summary"],
        "description": case.says,
        "runbook_url": f"docs/runbooks/{kebab(name)}.md",
        "dashboard_url": case.link,
    }
    return [{"exp_labels": {**case.labels, **rule["labels"]}, "exp_annotations": annotations}]


def look(name: str, alerts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"eval_time": f"{MINUTES}m", "alertname": name, "exp_alerts": list(alerts)}]


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_and_says_what_it_should(name: str, tmp_path: Path) -> None:
    case = CASES[name]

    done = promtool.run([promtool.case(case.fires, alert_rule_test=look(name, told(name, case)))], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_silent_otherwise(name: str, tmp_path: Path) -> None:
    silent = CASES[name].silent

    done = promtool.run([promtool.case(given, alert_rule_test=look(name, [])) for given in silent.values()], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_should_be_silent_and_is_not_is_found(tmp_path: Path) -> None:
    case = CASES["SoftgateDown"]

    done = promtool.run([promtool.case(case.fires, alert_rule_test=look("SoftgateDown", []))], tmp_path)

    assert done.returncode == 1


def test_a_job_without_a_server_is_down(tmp_path: Path) -> None:
    stranger = {series("up", job="another", instance="pod:8080"): still(1)}

    done = promtool.run(
        [promtool.case(stranger, alert_rule_test=look("SoftgateDown", told("SoftgateDown", CASES["SoftgateDown"])))],
        tmp_path,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_mean_confidence_above_its_bound_is_out_of_bounds(tmp_path: Path) -> None:
    name = "SoftgateMeanConfidenceOutOfBounds"
    case = CASES[name]._replace(says=f"{MODEL_OF}the mean confidence of the last hour is 97.5%.")

    done = promtool.run(
        [promtool.case(confidence(rows=2, mean=0.975), alert_rule_test=look(name, told(name, case)))], tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_case() -> None:
    assert CASES.keys() == ALERTS.keys()


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_is_written_in_one_form(rule: Rule) -> None:
    annotations = rule["annotations"]

    assert re.fullmatch(r"Softgate([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert re.fullmatch(r"[A-Z][^.{}]*\.", annotations["summary"])
    assert "{{ $value" in annotations["description"] or rule["alert"] in {"SoftgateDown", "SoftgateServerDown"}


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_leads_to_files_of_the_repository(rule: Rule, root: Path) -> None:
    dashboard = re.match(r"/d/([\w-]+)", rule["annotations"]["dashboard_url"])

    assert dashboard is not None
    assert (root / f"deploy/grafana/dashboards/{dashboard[1]}.json").is_file()
    assert (root / rule["annotations"]["runbook_url"]).is_file()


def test_every_runbook_is_an_alert_s(root: Path) -> None:
    assert {path.stem for path in (root / "docs/runbooks").iterdir()} == set(map(kebab, ALERTS))


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_has_the_four_sections_and_no_dead_link(name: str, root: Path) -> None:
    path = root / f"docs/runbooks/{kebab(name)}.md"
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]

    assert text.splitlines()[0] == f"# {name}"
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == SECTIONS
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_names_panels_that_exist(name: str, root: Path, deploy: Path) -> None:
    dashboards = [json.loads(path.read_text()) for path in (deploy / "grafana/dashboards").iterdir()]
    titles = {page["title"] for page in dashboards} | {p["title"] for page in dashboards for p in page["panels"]}
    text = " ".join((root / f"docs/runbooks/{kebab(name)}.md").read_text().split())

    # A page of Prometheus.
    assert set(re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text)) - titles <= {"Targets"}


def codes() -> Iterator[tuple[str, int]]:
    """Every code that one of our errors has, with its status."""
    kinds: list[type[SoftgateError]] = [errors.SoftgateError]
    while kinds:
        kind = kinds.pop()
        kinds.extend(kind.__subclasses__())
        yield kind.code, problem(kind("")).status


def test_the_server_s_errors_are_those_of_a_status_of_500_and_more() -> None:
    (pattern,) = re.findall(r'code=~"([^"]*)"', promtool.rules("record")["softgate:server_errors:rate5m"]["expr"])
    # These end a start, not a request.
    at_start = {"card_invalid", "calibration_invalid", "graph_invalid", "golden_mismatch", "digest_mismatch"}
    # And these are a client's.
    of_clients = {"http_version_unsupported", "unsupported_extension", "no_answer", "foreign_answer"}
    not_ours = {*at_start, *of_clients, "startup_failed", "data_invalid"}

    assert {code for code, status in codes() if status >= 500} - not_ours == set(pattern.split("|"))
