"""Rules that a dashboard keeps: each says what breaks it, and beside each stands a change that does."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import promtool
from dashboards import DASHBOARDS, Dashboard, drawn, expressions, queries

Labels = Mapping[str, set[str]]
"""Name of a metric → the names of its labels, as the server exposes them."""

NAME = re.compile(r"\bsoftgate_\w+")
SELECTOR = re.compile(r"(softgate_\w+){([^}]*)}")
RECORD = re.compile(r"\bsoftgate:[\w:]+")
RECORD_SELECTOR = re.compile(r"(softgate:[\w:]+){([^}]*)}")
MODEL = ("model", "version", "calibration")
"""What tells one set of numbers from another."""
CONSTANT = "softgate_reference_"
"""What a calibration says of its own rows is a histogram, and never grows."""


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
    for name in ("model", "version", "calibration", "instance"):
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
            if not name.startswith(CONSTANT):
                yield f"{name} is read as a gauge"


def variables_select_the_series(dashboard: Dashboard, exposed: Labels) -> Iterator[str]:
    for expression in expressions(dashboard):
        chosen = SELECTOR.findall(expression)
        if len(chosen) != len(NAME.findall(expression)):
            yield f"{expression}: a metric without a selector"
        for name, selector in chosen:
            labels = {*MODEL, "instance"} & (exposed.get(name, set()) | {"instance"})
            yield from (
                f'{name}: no {label}=~"${label}"' for label in sorted(labels) if f'{label}=~"${label}"' not in selector
            )


def variables_select_the_records(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    """By what tells models apart; they are the whole fleet's, so they know no instance."""
    wanted = ", ".join(f'{label}=~"${label}"' for label in MODEL)
    for expression in expressions(dashboard):
        chosen = RECORD_SELECTOR.findall(expression)
        if len(chosen) != len(RECORD.findall(expression)):
            yield f"{expression}: a record without a selector"
        for name, selector in chosen:
            if not selector.startswith(wanted) or "instance" in selector:
                yield f"{name}: selected by {selector}"


def models_are_told_apart(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    """A version and a calibration more must not be added to the ones before, but for a heatmap, which draws one."""
    for panel in drawn(dashboard):
        for target in panel["targets"] if panel["type"] != "heatmap" else ():
            for kept in re.findall(r"\b(?:by|on) \(([^)]*model[^)]*)\)", target["expr"]):
                if not set(MODEL) <= set(kept.split(", ")):
                    yield f"{panel['title']}: by {kept}"


def records_are_made(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    names = {name for expression in expressions(dashboard) for name in RECORD.findall(expression)}
    yield from (f"{name} is not recorded" for name in sorted(names - promtool.rules("record").keys()))


def the_other_dashboards_are_linked(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    linked = {link["url"] for link in dashboard["links"] if link["includeVars"] and link["keepTime"]}
    others = {f"/d/{path.stem}" for path in DASHBOARDS} - {f"/d/{dashboard['uid']}"}
    yield from (f"no link to {other}" for other in sorted(others ^ linked))


def legends_name_labels_that_are_there(dashboard: Dashboard, _: Labels) -> Iterator[str]:
    """As far as the outermost aggregation tells."""
    for panel in drawn(dashboard):
        for target in panel["targets"]:
            kept = re.search(r"(?:sum|max|min|avg) by \(([^)]*)\)", target["expr"])
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            if kept and not named <= {label.strip() for label in kept[1].split(",")}:
                yield f"{panel['title']}: {target['legendFormat']} names what is summed away"


def metrics_are_exposed(dashboard: Dashboard, exposed: Labels) -> Iterator[str]:
    texts = [*expressions(dashboard), *(variable["definition"] for variable in queries(dashboard))]
    names = {name for text in texts for name in NAME.findall(text)}
    yield from (f"{name} does not exist" for name in sorted(names - set(exposed)))


def _items(dashboard: Dashboard, name: str) -> set[tuple[str, str]]:
    """The plain entries of the variable with this name."""
    named = [variable for variable in dashboard["templating"]["list"] if variable["name"] == name]
    return {(key, value) for variable in named for key, value in variable.items() if isinstance(value, str)}


def _edit(old: str, new: str) -> Callable[[Dashboard], None]:
    """Replace a part of the first query that has it."""

    def edit(dashboard: Dashboard) -> None:
        targets = (target for panel in drawn(dashboard) for target in panel["targets"])
        target = next((target for target in targets if old in target["expr"]), None)
        assert target is not None, "A break that breaks nothing proves nothing."
        target["expr"] = target["expr"].replace(old, new)

    return edit


def _put_on_another(dashboard: Dashboard) -> None:
    one, other = dashboard["panels"][1:3]
    one["gridPos"] = {**other["gridPos"]}


RULES: Mapping[Callable[[Dashboard, Labels], Iterator[str]], Callable[[Dashboard], None]] = {
    ids_are_unique: lambda dashboard: dashboard["panels"][1].update(id=dashboard["panels"][2]["id"]),
    panels_do_not_overlap: _put_on_another,
    panels_say_what_they_show: lambda dashboard: drawn(dashboard)[0].pop("description"),
    values_have_a_unit: lambda dashboard: drawn(dashboard)[0]["fieldConfig"]["defaults"].pop("unit"),
    the_data_source_is_a_variable: lambda dashboard: drawn(dashboard)[0].update(
        datasource={"type": "prometheus", "uid": "softgate-prometheus"}
    ),
    variables_allow_several_and_all: lambda dashboard: queries(dashboard)[0].update(multi=False),
    ranges_follow_the_scrape_interval: _edit("$__rate_interval", "5m"),
    counters_are_read_as_rates: _edit("rate(", "avg("),
    variables_select_the_series: _edit('instance=~"$instance"', 'job="softgate"'),
    models_are_told_apart: _edit(" (model, version, calibration", " (model, version"),
    metrics_are_exposed: _edit("_total", "_totals"),
    legends_name_labels_that_are_there: lambda dashboard: drawn(dashboard)[0]["targets"][0].update(
        legendFormat="{{pod}}"
    ),
    the_other_dashboards_are_linked: lambda dashboard: dashboard["links"].pop(),
}
"""A rule → a change that breaks it."""

RECORD_RULES: Mapping[Callable[[Dashboard, Labels], Iterator[str]], Callable[[Dashboard], None]] = {
    variables_select_the_records: _edit('1h{model=~"$model", ', "1h{"),
    records_are_made: _edit("1h{", "1w{"),
}
"""The same, for dashboards that read records."""
