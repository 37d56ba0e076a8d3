"""docs/monitoring.md: what it names exists, pictures are small, and its figures are those of the run that is kept."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.main import get_command

import promtool
from dashboards import DASHBOARDS, drawn, read
from softgate.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXT = (DOCS / "monitoring.md").read_text()
FLAT = " ".join(TEXT.split())
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))


@pytest.fixture(scope="module")
def told() -> Any:
    return json.loads((DOCS / "pictures/story.json").read_text())


def links() -> list[tuple[str, str]]:
    """Paths and anchors, of links and pictures."""
    return [(path, anchor) for path, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", TEXT))]


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_no_link_is_dead() -> None:
    for path, anchor in links():
        target = DOCS / path if path else DOCS / "monitoring.md"
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text()), anchor


def test_the_runbooks_of_detectors_tell_of_the_rhythm_and_its_cure() -> None:
    linked = {}
    for path in RUNBOOKS:
        found = re.findall(r"\]\(\.\./monitoring\.md#([\w-]+)\)", path.read_text())
        assert set(found) <= anchors(TEXT), path
        if "rhythm" in found and "raise `monitoring.alarm_every`" in path.read_text():
            linked[path.stem] = found

    assert set(linked) == {
        f"softgate-{name}" for name in ("confidence-falling", "confidence-rising", "out-of-scope-rising")
    }


def test_every_alert_is_there_with_its_severity_and_its_delay() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/[\w-]+\.md\) \| (\w+) \| ([^|]+) \|", TEXT, flags=re.MULTILINE)
    rules = promtool.rules("alert")

    wanted = {(name, rule["labels"]["severity"], rule.get("for", "at once")) for name, rule in rules.items()}
    assert set(rows) == wanted
    assert len(rows) == len(rules)


def test_panels_and_dashboards_that_are_named_exist() -> None:
    pages = [read(path) for path in DASHBOARDS]
    titles = {page["title"] for page in pages} | {panel["title"] for page in pages for panel in drawn(page)}

    assert set(re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", FLAT)) - titles <= set(promtool.rules("alert"))


def test_metrics_and_records_that_are_named_exist(exposition: str) -> None:
    exposed = {sample.name for family in text_string_to_metric_families(exposition) for sample in family.samples}

    assert set(re.findall(r"\bsoftgate_\w+", TEXT)) <= exposed
    assert set(re.findall(r"\bsoftgate:[\w:]+", TEXT)) <= promtool.rules("record").keys()


@pytest.mark.parametrize("path", [DOCS / "monitoring.md", *RUNBOOKS], ids=lambda path: path.stem)
def test_commands_that_are_named_exist_with_their_options(path: Path) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]

    for name, rest in re.findall(r"(?:`|^    )softgate (\w+)([^`\n]*)", path.read_text(), flags=re.MULTILINE):
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options


def test_pieces_of_configuration_can_be_read() -> None:
    pieces = [yaml.safe_load(piece) for piece in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)]

    assert all(isinstance(piece, dict) for piece in pieces)
    (scrapes,) = [piece["scrape_configs"] for piece in pieces if "scrape_configs" in piece]
    assert scrapes[0]["job_name"] == "softgate"


def test_the_example_of_an_alert_fires_although_the_alarm_was_acknowledged(tmp_path: Path) -> None:
    (piece,) = [piece for piece in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL) if "groups:" in piece]
    rules = tmp_path / "rules.yml"
    rules.write_text(piece)
    model = {"model": "tickets", "version": "3", "calibration": "0123456789ab", "detector": "confidence_falling"}
    given = {
        promtool.series("softgate_drift_alarms_total", **model, instance="pod:8080"): "0x60 1x90",
        promtool.series("softgate_drift_alarm", **model, instance="pod:8080"): "0x150",
    }
    (rule,) = yaml.safe_load(piece)["groups"][0]["rules"]
    fired = {"exp_labels": {**model, **rule["labels"]}, "exp_annotations": rule["annotations"]}
    looks = [
        {"eval_time": when, "alertname": rule["alert"], "exp_alerts": alerts}
        for when, alerts in (("60m", []), ("65m", [fired]), ("125m", []))
    ]

    done = promtool.run([promtool.case(given, alert_rule_test=looks)], tmp_path, rules=rules)

    assert done.returncode == 0, done.stdout + done.stderr


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_the_figures_are_those_of_the_story_that_was_told(told: Any) -> None:
    ordinary, mixed, alarms, alerts = (told[key] for key in ("ordinary", "mixed", "alarms", "alerts"))
    rows = told["rows_until_alarm"]
    fired = {name: alert["fired_after_seconds"] for name, alert in alerts.items()}
    later = fired["SoftgateConfidenceFalling"] - fired["SoftgateOutOfScopeRising"]

    assert ordinary["alarms"] == 0
    for wanted in (
        f"For a while {ordinary['rows']:.0f} ordinary sentences",
        f"turns {percent(ordinary['abstain_share'])} of the ordinary",
        f"confidence is {percent(ordinary['mean_confidence'])}, that of the calibration's rows "
        f"{percent(told['reference_mean_confidence'])}",
        f"After {rows} more rows, some {rows // 5} strangers among them, the detector `out_of_scope_rising`",
        f"`confidence_falling` follows {later:.0f} seconds later",
        f"fires {fired['SoftgateOutOfScopeRising']:.0f} second after the alarm",
        f"over {mixed['rows']:.0f} rows with strangers `out_of_scope_rising` raised {alarms['out_of_scope_rising']} "
        f"alarms and `confidence_falling` {alarms['confidence_falling']}",
        f"from {percent(ordinary['mean_confidence'])} to {percent(mixed['mean_confidence'])}",
        f"from {percent(ordinary['abstain_share'])} to {percent(mixed['abstain_share'])}",
        f"{told['psi']['alarm']:.3f} at the alarm",
        f"drifted, {told['psi']['mended']:.3f}.",
        f"after {told['delay']['1']['median']:.0f} rows in the median, and within "
        f"{told['delay']['1']['95_in_100']:.0f} in 95 of 100",
    ):
        assert wanted in FLAT, wanted


def test_the_table_of_fleets_is_that_of_the_story_that_was_told(told: Any) -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", TEXT, flags=re.MULTILINE)

    assert rows == [(pods, f"{d['median']:.0f}", f"{d['95_in_100']:.0f}") for pods, d in told["delay"].items()]


def test_the_delay_of_one_server_keeps_to_what_is_promised(told: Any) -> None:
    assert told["rows_until_alarm"] <= 200
    assert told["delay"]["1"]["median"] <= 100
    assert told["delay"]["1"]["95_in_100"] <= 200
