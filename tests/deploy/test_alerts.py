"""deploy/prometheus/rules.yml: every alert fires when it should, is silent when it should be, and leads somewhere."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import promtool
from promtool import Rule, Series, series
from softgate import errors
from softgate.errors import SoftgateError
from softgate.web.errors import problem

MODEL = {"model": "tickets", "version": "3", "calibration": "0123456789ab"}
SERVER = {"job": "softgate", "instance": "pod:8080"}
MODEL_OF = "tickets version 3: "
MINUTES = 90
"""From the start to the look: longer than the window of an hour and the longest `for`."""
SECTIONS = ["Symptom", "Check", "Action", "Verify"]
ALERTS = promtool.rules("alert")


def count(per_minute: float) -> str:
    return f"0+{per_minute}x{MINUTES}"


def still(value: float) -> str:
    return f"{value}x{MINUTES}"


def of_model(name: str, **labels: str) -> str:
    return series(name, **MODEL, **SERVER, **labels)


def of_server(name: str, **labels: str) -> str:
    return series(name, **SERVER, **labels)


def alarm(detector: str, value: float) -> Series:
    return {of_model("softgate_drift_alarm", detector=detector): still(value)}


def confidence(*, rows: float, mean: float) -> Series:
    """So many rows a minute, and the bounds of the card."""
    return {
        of_model("softgate_confidence_ratio_count"): count(rows),
        of_model("softgate_confidence_ratio_sum"): count(rows * mean),
        of_model("softgate_rule_bound_ratio", rule="mean_confidence_below"): still(0.2),
        of_model("softgate_rule_bound_ratio", rule="mean_confidence_above"): still(0.95),
    }


def bins(low: float, high: float, *, reference: float = 1000) -> Series:
    """Rows a minute in each of two bins that held half of the reference's rows each."""
    return {
        of_model("softgate_confidence_ratio_count"): count(low + high),
        of_model("softgate_reference_confidence_ratio_count"): still(reference),
        of_model("softgate_confidence_bin_predictions_total", bin="0.8"): count(low),
        of_model("softgate_confidence_bin_predictions_total", bin="1"): count(high),
        of_model("softgate_confidence_reference_ratio", bin="0.8"): still(0.5),
        of_model("softgate_confidence_reference_ratio", bin="1"): still(0.5),
    }


def routes(banking: float, cards: float, *, reference: float = 1000) -> Series:
    return {
        of_model("softgate_reference_confidence_ratio_count"): still(reference),
        of_model("softgate_predicted_routes_total", route="banking"): count(banking),
        of_model("softgate_predicted_routes_total", route="cards"): count(cards),
        of_model("softgate_route_reference_ratio", route="banking"): still(0.5),
        of_model("softgate_route_reference_ratio", route="cards"): still(0.5),
    }


def labels(kind: str, value: float, *, rows: float = 10) -> Series:
    return {
        of_model("softgate_drifted_labels", kind=kind): still(value),
        of_model("softgate_confidence_ratio_count"): count(rows),
    }


def decisions(share: float, *, rows: float = 10, action: str, reason: str, rule: str) -> Series:
    return {
        of_model("softgate_decisions_total", action="route", reason="confident"): count(rows * (1 - share)),
        of_model("softgate_decisions_total", action=action, reason=reason): count(rows * share),
        of_model("softgate_rule_bound_ratio", rule=rule): still(0.1),
    }


def below(share: float, *, rows: float = 10, profile: str = "default") -> Series:
    return {
        of_model("softgate_predicted_routes_total", route="banking"): count(rows),
        of_model("softgate_rows_below_threshold_total", profile=profile): count(rows * share),
        of_model("softgate_rule_bound_ratio", rule="below_threshold_above"): still(0.25),
    }


def requests(well: float, *, code: str = "internal", ill: float = 0) -> Series:
    return {
        of_model("softgate_requests_total"): count(well),
        of_server("softgate_errors_total", code=code): count(ill),
        of_server("softgate_errors_total", code="invalid_input"): count(5),
    }


def starts(values: str, *, ready: float = 2) -> Series:
    return {
        of_server("softgate_worker_starts_total"): f"2x{MINUTES - 10} {values}",
        of_server("softgate_workers_ready"): still(ready),
    }


class Case(NamedTuple):
    """What makes an alert fire, with what it says then; and what must not make it fire."""

    fires: Series
    says: str
    link: str
    silent: Mapping[str, Series]
    labels: Mapping[str, str] = MODEL


def of_alarm(detector: str) -> Case:
    two = {**alarm(detector, 1)} | {name.replace("pod", "pod2"): values for name, values in alarm(detector, 1).items()}
    return Case(
        fires=two,
        says=f"{MODEL_OF}2 replicas have an alarm of {detector} that nobody has acknowledged.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={"acknowledged": alarm(detector, 0), "another detector": alarm("another", 1)},
    )


CASES: Mapping[str, Case] = {
    "SoftgateConfidenceFalling": of_alarm("confidence_falling"),
    "SoftgateConfidenceRising": of_alarm("confidence_rising"),
    "SoftgateOutOfScopeRising": of_alarm("out_of_scope_rising"),
    "SoftgateConfidenceDistributionShifted": Case(
        fires=bins(7, 3),
        says=f"{MODEL_OF}PSI of the last hour is 0.169, over 0.1 and more than chance explains.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={
            "as the reference": bins(5, 5),
            "significant but small": bins(5500, 4500, reference=1_000_000),
            "large but few rows": bins(2.1, 0.9),
            "large but a small reference": bins(7, 3, reference=20),
        },
    ),
    "SoftgateRouteMixShifted": Case(
        fires=routes(7, 3),
        says=f"{MODEL_OF}PSI of the routes of the last hour is 0.169, over 0.1 and more than chance explains.",
        link="/d/softgate-routing?var-model=tickets",
        silent={
            "as the reference": routes(5, 5),
            "significant but small": routes(5500, 4500, reference=1_000_000),
            "large but few rows": routes(2.1, 0.9),
            "large but a small reference": routes(7, 3, reference=20),
        },
    ),
    "SoftgateMeanConfidenceOutOfBounds": Case(
        fires=confidence(rows=2, mean=0.125),
        says=f"{MODEL_OF}the mean confidence of the last hour is 12.5%.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={
            "within": confidence(rows=2, mean=0.5),
            "few rows": confidence(rows=1, mean=0.125),
            "no bound": {n: v for n, v in confidence(rows=2, mean=0.125).items() if "bound" not in n},
        },
    ),
    "SoftgateLabelVanished": Case(
        fires=labels("vanished", 2),
        says=f"{MODEL_OF}2 labels have vanished in the last hour.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={"none": labels("vanished", 0), "few rows": labels("vanished", 2, rows=3)},
    ),
    "SoftgateLabelExploded": Case(
        fires=labels("exploded", 1),
        says=f"{MODEL_OF}1 labels have exploded in the last hour.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={"none": labels("exploded", 0), "few rows": labels("exploded", 1, rows=3)},
    ),
    "SoftgateNonFiniteAnswers": Case(
        fires=decisions(0.25, action="fallback", reason="non_finite", rule="non_finite_above"),
        says=f"{MODEL_OF}25% of the rows of the last hour had NaN or an infinity among their logits and went to the "
        "fallback.",
        link="/d/softgate-routing?var-model=tickets",
        silent={
            "within": decisions(0.05, action="fallback", reason="non_finite", rule="non_finite_above"),
            "few rows": decisions(0.25, rows=1, action="fallback", reason="non_finite", rule="non_finite_above"),
            "another reason": decisions(0.25, action="fallback", reason="below_threshold", rule="non_finite_above"),
        },
    ),
    "SoftgateBelowThresholdShareHigh": Case(
        fires=below(0.5),
        says=f"{MODEL_OF}50% of the rows of the last hour lie below the threshold of the default profile.",
        link="/d/softgate-routing?var-model=tickets",
        silent={
            "within": below(0.2),
            "few rows": below(0.5, rows=1),
            "a stricter profile": below(0.5, profile="strict"),
        },
    ),
    "SoftgateClarifyShareHigh": Case(
        fires=decisions(0.25, action="clarify", reason="ambiguous", rule="clarify_above"),
        says=f"{MODEL_OF}25% of the rows of the last hour were ambiguous and asked back.",
        link="/d/softgate-routing?var-model=tickets",
        silent={
            "within": decisions(0.05, action="clarify", reason="ambiguous", rule="clarify_above"),
            "few rows": decisions(0.25, rows=1, action="clarify", reason="ambiguous", rule="clarify_above"),
            "no bound": decisions(0.25, action="clarify", reason="ambiguous", rule="another"),
        },
    ),
    "SoftgateDown": Case(
        fires={of_server("up"): still(0)},
        says="pod:8080 has not answered for 2 minutes.",
        link="/d/softgate-service?var-instance=pod:8080",
        labels=SERVER,
        silent={"up": {of_server("up"): still(1)}, "one scrape missed": {of_server("up"): f"1x{MINUTES - 2} 0 0"}},
    ),
    "SoftgateMonitorStalled": Case(
        fires={of_server("softgate_monitor_updated_timestamp_seconds"): f"0+60x30 1800x{MINUTES - 31}"},
        says="pod:8080: the monitor's last step was 1h 0m 0s ago.",
        link="/d/softgate-service?var-instance=pod:8080",
        labels=SERVER,
        silent={"stepping": {of_server("softgate_monitor_updated_timestamp_seconds"): count(60)}},
    ),
    "SoftgateErrorsHigh": Case(
        fires=requests(95, ill=5),
        says="softgate: 5% of the requests of the last 5 minutes ended in an error of the server.",
        link="/d/softgate-service",
        labels={"job": "softgate"},
        silent={
            "few among many": requests(1000, ill=5),
            "few requests": requests(10, ill=4),
            "the client's fault": requests(95, ill=5, code="shape_mismatch"),
        },
    ),
    "SoftgateOverloaded": Case(
        fires=requests(75, ill=25, code="overloaded"),
        says="softgate: 25% of the requests of the last 5 minutes were refused with 429.",
        link="/d/softgate-service",
        labels={"job": "softgate"},
        silent={
            "few among many": requests(1000, ill=5, code="overloaded"),
            "few requests": requests(10, ill=4, code="overloaded"),
            "another error": requests(75, ill=25),
        },
    ),
    "SoftgateWorkersRestarting": Case(
        fires=starts("3 4 5 6 7 8 9 9 9 9"),
        says="pod:8080: 7 workers were started in the last 15 minutes.",
        link="/d/softgate-service?var-instance=pod:8080",
        labels=SERVER,
        silent={"one died": starts("3x9"), "the server was started again": starts("0 2x8")},
    ),
    "SoftgateStateNotSaved": Case(
        fires={of_server("softgate_monitor_state_write_failures_total"): f"0x{MINUTES - 5} 1 2 3 3 3"},
        says="pod:8080: 3 attempts to write it failed in the last 15 minutes.",
        link="/d/softgate-service?var-instance=pod:8080",
        labels=SERVER,
        silent={
            "saved": {of_server("softgate_monitor_state_write_failures_total"): still(0)},
            "long ago": {of_server("softgate_monitor_state_write_failures_total"): f"0 1x{MINUTES - 1}"},
        },
    ),
}


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
    says = CASES["SoftgateDown"]._replace(
        says="No server of the job softgate is known.", link="/d/softgate-service", labels={"job": "softgate"}
    )
    stranger = {series("up", job="another", instance="pod:8080"): still(1)}

    done = promtool.run(
        [promtool.case(stranger, alert_rule_test=look("SoftgateDown", told("SoftgateDown", says)))], tmp_path
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
    assert "{{ $value" in annotations["description"] or rule["alert"] == "SoftgateDown"


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
    at_start = {"card_invalid", "calibration_invalid", "graph_invalid", "golden_mismatch", "startup_failed"}

    assert {code for code, status in codes() if status >= 500} - at_start - {"data_invalid"} == set(pattern.split("|"))
