"""deploy/grafana/dashboards: rules that a dashboard keeps, each with a broken copy that it finds."""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

Panel = dict[str, Any]
Dashboard = dict[str, Any]
Labels = Mapping[str, set[str]]
"""Name of a metric → the names of its labels, as the server exposes them."""

DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy/grafana/dashboards").glob("*.json"))
NAME = re.compile(r"\bsoftgate_\w+")
SELECTOR = re.compile(r"(softgate_\w+){([^}]*)}")


@pytest.fixture(scope="session")
def exposed(exposition: str) -> Labels:
    families = text_string_to_metric_families(exposition)
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def drawn(dashboard: Dashboard) -> list[Panel]:
    """All panels but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: Dashboard) -> Iterator[str]:
    for panel in drawn(dashboard):
        yield from (target["expr"] for target in panel["targets"])


def queries(dashboard: Dashboard) -> list[Panel]:
    """The variables that are read from Prometheus."""
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def ids_are_unique(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    ids = [panel["id"] for panel in dashboard["panels"]]
    yield from (f"id {i} is used twice" for i in set(ids) if ids.count(i) > 1)
    for panel in drawn(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        if len(letters) != len(set(letters)):
            yield f"{panel['title']}: a refId is used twice"


def panels_do_not_overlap(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    for panel in dashboard["panels"]:
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
            yield f"{panel['title']} leaves the grid"
    for one, other in combinations(dashboard["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        if not apart:
            yield f"{one['title']} overlaps {other['title']}"


def panels_say_what_they_show(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    for panel in drawn(dashboard):
        if not (panel["title"] and panel.get("description", "").endswith(".")):
            yield f"{panel['title']}: no description"
        if not all(target.get("legendFormat") for target in panel["targets"]):
            yield f"{panel['title']}: no legend"


def values_have_a_unit(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    for panel in drawn(dashboard):
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{panel['title']}: no unit"


def the_data_source_is_a_variable(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    if {"name": "datasource", "type": "datasource", "query": "prometheus"}.items() - _items(dashboard, "datasource"):
        yield "no variable named datasource"
    for part in [*drawn(dashboard), *queries(dashboard)]:
        if part["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{part.get('title', part.get('name'))}: its data source is fixed"


def variables_allow_several_and_all(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    variables = {variable["name"]: variable for variable in queries(dashboard)}
    for name in ("model", "version", "instance"):
        variable = variables.get(name, {})
        if not (variable.get("multi") and variable.get("includeAll")):
            yield f"{name}: several or all cannot be chosen"


def ranges_follow_the_scrape_interval(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    for expression in expressions(dashboard):
        for window in re.findall(r"\[([^]]*)\]", expression):
            if window not in ("$__rate_interval", "$__range"):
                yield f"{expression}: the window is {window}"


def counters_are_read_as_rates(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    for expression in expressions(dashboard):
        for name in re.findall(r"(?<!rate\()(?<!increase\()\b(softgate_\w+_(?:total|bucket|sum|count))\b", expression):
            yield f"{name} is read as a gauge"


def variables_select_the_series(dashboard: Dashboard, exposed: Labels) -> Iterator[str]:
    for expression in expressions(dashboard):
        chosen = SELECTOR.findall(expression)
        if len(chosen) != len(NAME.findall(expression)):
            yield f"{expression}: a metric without a selector"
        for name, selector in chosen:
            labels = {"model", "version", "instance"} & (exposed.get(name, set()) | {"instance"})
            yield from (
                f'{name}: no {label}=~"${label}"' for label in sorted(labels) if f'{label}=~"${label}"' not in selector
            )


def metrics_are_exposed(dashboard: Dashboard, exposed: Labels) -> Iterator[str]:
    texts = [*expressions(dashboard), *(variable["definition"] for variable in queries(dashboard))]
    names = {name for text in texts for name in NAME.findall(text)}
    yield from (f"{name} does not exist" for name in sorted(names - set(exposed)))


def _items(dashboard: Dashboard, name: str) -> set[tuple[str, str]]:
    """The plain entries of the variable with this name."""
    named = [variable for variable in dashboard["templating"]["list"] if variable["name"] == name]
    return {(key, value) for variable in named for key, value in variable.items() if isinstance(value, str)}


def _edit(old: str, new: str) -> Callable[[Dashboard], None]:
    """Replace a part of the first panel's query."""

    def edit(dashboard: Dashboard) -> None:
        target = drawn(dashboard)[0]["targets"][0]
        assert old in target["expr"], "A break that breaks nothing proves nothing."
        target["expr"] = target["expr"].replace(old, new)

    return edit


RULES: Mapping[Callable[[Dashboard, Labels], Iterator[str]], Callable[[Dashboard], None]] = {
    ids_are_unique: lambda dashboard: dashboard["panels"][1].update(id=dashboard["panels"][2]["id"]),
    panels_do_not_overlap: lambda dashboard: dashboard["panels"][1]["gridPos"].update(w=7),
    panels_say_what_they_show: lambda dashboard: drawn(dashboard)[0].pop("description"),
    values_have_a_unit: lambda dashboard: drawn(dashboard)[0]["fieldConfig"]["defaults"].pop("unit"),
    the_data_source_is_a_variable: lambda dashboard: drawn(dashboard)[0].update(
        datasource={"type": "prometheus", "uid": "softgate-prometheus"}
    ),
    variables_allow_several_and_all: lambda dashboard: queries(dashboard)[0].update(multi=False),
    ranges_follow_the_scrape_interval: _edit("$__rate_interval", "5m"),
    counters_are_read_as_rates: _edit("rate(", "avg("),
    variables_select_the_series: _edit('instance=~"$instance"', 'job="softgate"'),
    metrics_are_exposed: _edit("_total", "_totals"),
}
"""A rule → a change that breaks it."""


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_dashboard_keeps_the_rule(
    rule: Callable[[Dashboard, Labels], Iterator[str]], path: Path, exposed: Labels
) -> None:
    assert list(rule(json.loads(path.read_text()), exposed)) == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_broken_copy_is_found(
    rule: Callable[[Dashboard, Labels], Iterator[str]], path: Path, exposed: Labels
) -> None:
    broken = copy.deepcopy(json.loads(path.read_text()))

    RULES[rule](broken)

    assert list(rule(broken, exposed))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_named_after_its_file(path: Path) -> None:
    dashboard = json.loads(path.read_text())

    assert (dashboard["uid"], dashboard["editable"]) == (path.stem, False)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_indented_by_two(path: Path) -> None:
    """One form, so that a difference shows what changed and nothing else."""
    text = path.read_text()

    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_there_is_a_dashboard() -> None:
    assert [path.stem for path in DASHBOARDS] == ["softgate"]
