"""promtool's unit tests of rules: series made up on the spot, no server, no waiting."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools import tool

RULES = Path(__file__).parents[1] / "deploy/prometheus/rules.yml"
Series = Mapping[str, str]
"""A series with its labels → its values, one a minute, in promtool's notation."""
Rule = dict[str, Any]


def groups(path: Path = RULES) -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return parsed


def rules(kind: str) -> dict[str, Rule]:
    """By name, those of a kind: record or alert."""
    return {rule[kind]: rule for group in groups() for rule in group["rules"] if kind in rule}


def series(name: str, **labels: str) -> str:
    pairs = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{pairs}}}"


def case(given: Series, **expected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`expected` has a promql_expr_test or an alert_rule_test."""
    return {"interval": "1m", "input_series": [{"series": n, "values": v} for n, v in given.items()], **expected}


def run(cases: Sequence[Mapping[str, Any]], folder: Path, *, rules: Path = RULES) -> "subprocess.CompletedProcess[str]":
    """promtool's verdict on rules, the project's unless told otherwise; its exit code is 0 if all is as expected."""
    file = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "group_eval_order": [group["name"] for group in groups(rules)],
        "tests": list(cases),
    }
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump(file, width=1_000_000))
    command = [tool("promtool"), "test", "rules", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
