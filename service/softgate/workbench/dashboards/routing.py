"""Where rows go, and whether that is still the mix of the calibration."""

from collections.abc import Iterator

from softgate.workbench.dashboards.page import Dashboard, page
from softgate.workbench.dashboards.panels import (
    ROWS,
    SHARE,
    Panel,
    Query,
    bars,
    coloured,
    dashed,
    heading,
    lines,
    paired_bars,
    stacked,
)
from softgate.workbench.dashboards.promql import (
    BY_MODEL,
    MODEL,
    RANGE,
    furthest,
    increase,
    largest,
    named,
    of_model,
    per_second,
    rate,
    recorded,
    share,
    share_by,
    total,
)

DECISIONS = "softgate_decisions_total"
WHOLE = (0.0, 1.0)
COLOURS = {
    "/^route: confident/": "green",
    "/^route: uncalibrated/": "super-light-green",
    "/^clarify/": "yellow",
    "/^abstain/": "purple",
    "/^fallback: below_threshold/": "orange",
    "/^fallback: non_finite/": "red",
    "/^fallback: uncalibrated/": "light-orange",
}


def routing() -> Dashboard:
    description = "What the classifiers decide and why, beside what they decided at calibration."
    return page("softgate-routing", description, [*_traffic(), *_not_routed(), *_routes()])


def _traffic() -> Iterator[Panel]:
    yield heading(1, "Traffic and decisions")
    yield lines(
        2,
        "Rows",
        "Rows answered per second; a request may hold many.",
        [Query(per_second(BY_MODEL, of_model("softgate_rows_total")), MODEL)],
        size=(6, 8),
        unit="suffix: rows/s",
    )
    yield lines(
        3,
        "Requests",
        "Prediction requests answered per second.",
        [Query(per_second(BY_MODEL, of_model("softgate_requests_total")), MODEL)],
        size=(6, 8),
        unit="reqps",
    )
    whole = f"sum({rate(of_model(DECISIONS))})"
    yield stacked(
        4,
        "Decisions by action and reason",
        "Share of each decision among all. A threshold keeps its promise only while this mix stays what it was at "
        "calibration.",
        [
            Query(
                f"{per_second('action, reason', of_model(DECISIONS))} / on () group_left () {whole}",
                "{{action}}: {{reason}}",
            )
        ],
        size=(12, 8),
        unit=SHARE,
        limits=WHOLE,
        overrides=[coloured(pattern, colour) for pattern, colour in COLOURS.items()],
    )


def _not_routed() -> Iterator[Panel]:
    yield heading(5, "Not routed")
    finite = per_second(BY_MODEL, of_model("softgate_predicted_routes_total"))
    under = per_second(f"{BY_MODEL}, profile", of_model("softgate_rows_below_threshold_total"))
    yield lines(
        6,
        "Below the threshold",
        "Share of rows whose route confidence lies below the threshold of each profile, whatever profile they asked "
        "for. The bound is that of the default profile.",
        [
            Query(f"{under} / on ({BY_MODEL}) group_left () {finite}", f"{MODEL} {{{{profile}}}}"),
            _bound("below_threshold_above"),
        ],
        size=(8, 8),
        unit=SHARE,
        limits=WHOLE,
        overrides=[dashed("/bound$/", "red")],
    )
    yield _action(7, "Clarify", "clarify", "Share of rows that were ambiguous and asked back.", rule="clarify_above")
    yield _action(8, "Abstain", "abstain", "Share of rows that are like nothing the model knows.")
    yield _action(
        9, "Fallback", "fallback", "Share of rows that nobody was found for: sent to the fallback, whatever the reason."
    )
    yield lines(
        10,
        "Non-finite",
        "Share of rows with NaN or an infinity among their logits. Anything but 0 is a fault of the graph or of its "
        "inputs.",
        [
            Query(share(BY_MODEL, of_model(DECISIONS, 'reason="non_finite"'), of_model(DECISIONS)), MODEL),
            _bound("non_finite_above"),
        ],
        size=(6, 8),
        unit=SHARE,
        overrides=[dashed("/bound$/", "red")],
    )
    yield lines(
        11,
        "Thresholds",
        "The least confidence at which a decision may be a route, by profile.",
        [
            Query(
                largest(f"{BY_MODEL}, profile", of_model("softgate_threshold_ratio")),
                f"{MODEL} {{{{profile}}}}",
            )
        ],
        size=(6, 8),
        unit=SHARE,
        limits=WHOLE,
        fill=0,
    )
    yield bars(
        12,
        "Top predicted labels",
        "The ten labels predicted most often in the time range shown.",
        [
            Query(
                "topk(10, "
                + total(f"{BY_MODEL}, label", increase(of_model("softgate_predicted_labels_total"), window=RANGE))
                + ")",
                "{{model}} {{label}}",
            )
        ],
        size=(6, 8),
        unit=ROWS,
    )


def _action(number: int, title: str, action: str, description: str, *, rule: str = "") -> Panel:
    decided = share(BY_MODEL, of_model(DECISIONS, f'action="{action}"'), of_model(DECISIONS))
    return lines(
        number,
        title,
        description,
        [Query(decided, MODEL), *([_bound(rule)] if rule else [])],
        size=(8 if action != "fallback" else 6, 8),
        unit=SHARE,
        limits=WHOLE,
        overrides=[dashed("/bound$/", "red")] if rule else [],
    )


def _bound(rule: str) -> Query:
    bound = largest(BY_MODEL, of_model("softgate_rule_bound_ratio", f'rule="{rule}"'))
    return Query(bound, f"{MODEL} bound")


def _routes() -> Iterator[Panel]:
    yield heading(13, "Route mix")
    live, reference = recorded("route:share1h"), recorded("route:share_reference")
    yield paired_bars(
        14,
        "Routes, live and at calibration",
        "Share of each candidate route among the rows of the last hour, and among those of the reference.",
        [Query(named(live, "route"), "last hour"), Query(named(reference, "route"), "reference")],
        size=(12, 9),
        by="of",
    )
    yield lines(
        15,
        "Routes over time",
        "Share of each candidate route among a model's rows.",
        [Query(share_by("route", of_model("softgate_predicted_routes_total")), "{{model}} {{route}}")],
        size=(12, 9),
        unit=SHARE,
        fill=0,
    )
    yield bars(
        16,
        "Routes that moved most",
        "Share of the last hour less share of the reference, of the ten routes furthest apart.",
        [Query(furthest(10, f"{live} - {reference}"), "{{model}} {{route}}")],
        size=(8, 8),
        unit=SHARE,
        decimals=1,
    )
    yield lines(
        17,
        "PSI of the routes",
        "How far the mix of the last hour lies from the reference, on the whole fleet. From 0.1 it matters, if it is "
        "more than chance: see beside it.",
        [Query(recorded("routes:psi1h"), MODEL)],
        size=(8, 8),
        unit="none",
    )
    yield lines(
        18,
        "χ² of the routes",
        "Pearson's χ² of the last hour and the reference. Above the dashed line the mix has changed: chance goes there "
        "once in a thousand times. Rare routes count as one.",
        [
            Query(recorded("routes:chi_squared1h"), MODEL),
            Query(recorded("routes:chi_squared_critical1h"), f"{MODEL} critical"),
        ],
        size=(8, 8),
        unit="none",
        overrides=[dashed("/critical$/", "red")],
    )
