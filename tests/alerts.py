"""For every alert of deploy/prometheus/rules.yml: series that make it fire, what it says, and series that must not."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from promtool import Series, series

MODEL = {"model": "tickets", "version": "3", "calibration": "0123456789ab"}
SERVER = {"job": "softgate", "instance": "pod:8080"}
MODEL_OF = "tickets version 3: "
MINUTES = 90
"""From the start to the look: longer than the window of an hour and the longest `for`."""


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


def routes(*live: float, reference: Sequence[float] = (500, 500)) -> Series:
    """Rows a minute of each route, and its rows at calibration."""
    given = {of_model("softgate_reference_confidence_ratio_count"): still(sum(reference))}
    for name, (rows, before) in enumerate(zip(live, reference, strict=True)):
        share = (before + 0.5) / (sum(reference) + 0.5 * len(reference))
        given[of_model("softgate_predicted_routes_total", route=str(name))] = count(rows)
        given[of_model("softgate_route_reference_ratio", route=str(name))] = still(share)
    return given


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


def non_finite(share: float, *, rows: float = 10, bound: float = 0.1) -> Series:
    rule = {of_model("softgate_rule_bound_ratio", rule="non_finite_above"): still(bound)}
    return {**decisions(share, rows=rows, action="fallback", reason="non_finite", rule="non_finite_above"), **rule}


def burst(rows: float, *, ago: int) -> Series:
    """Rows that are not finite, all in one minute, beside ten a minute that are."""
    odd = of_model("softgate_decisions_total", action="fallback", reason="non_finite")
    return {**non_finite(0), odd: f"0x{MINUTES - ago - 1} {rows}x{ago}"}


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


def up(*servers: str) -> Series:
    names = [SERVER, *({**SERVER, "instance": f"pod{place}:8080"} for place in range(2, len(servers) + 1))]
    return {series("up", **labels): values for labels, values in zip(names, servers, strict=True)}


def outage(errors: float, *, ago: int) -> Series:
    """Errors of the server, all in one minute, beside a hundred requests a minute that went well."""
    failed = of_server("softgate_errors_total", code="internal")
    return {**requests(100), failed: f"0x{MINUTES - ago - 1} {errors}x{ago}"}


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
            "significant but small": routes(5500, 4500, reference=(500_000, 500_000)),
            "large but few rows": routes(2.1, 0.9),
            "large but a small reference": routes(7, 3, reference=(10, 10)),
            "rare routes, each by chance": routes(
                4900, 4900, *[0] * 20, *[10] * 20, reference=(490, 490, *[1] * 20, *[0] * 20)
            ),
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
        says=f"{MODEL_OF}on the replica with most, 2 of the labels vanished in the last hour. At night or at a "
        "week-end that may be as it should.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={"none": labels("vanished", 0), "few rows": labels("vanished", 2, rows=3)},
    ),
    "SoftgateLabelExploded": Case(
        fires=labels("exploded", 1),
        says=f"{MODEL_OF}on the replica with most, 1 of the labels had five times their share or more in the last "
        "hour.",
        link="/d/softgate-confidence?var-model=tickets",
        silent={"none": labels("exploded", 0), "few rows": labels("exploded", 1, rows=3)},
    ),
    "SoftgateNonFiniteAnswers": Case(
        fires=non_finite(0.25, rows=4),
        says=f"{MODEL_OF}25% of the rows of the last 15 minutes had NaN or an infinity among their logits and went to "
        "the fallback.",
        link="/d/softgate-routing?var-model=tickets",
        silent={
            "within": non_finite(0.05),
            "nine rows": non_finite(0.25, rows=2.4),
            "another reason": decisions(0.25, action="fallback", reason="below_threshold", rule="non_finite_above"),
            "over for a quarter of an hour": burst(100, ago=16),
        },
    ),
    "SoftgateNonFiniteAnswersMany": Case(
        fires=non_finite(0.25),
        says=f"{MODEL_OF}25% of the rows of the last 5 minutes had NaN or an infinity among their logits and went to "
        "the fallback.",
        link="/d/softgate-routing?var-model=tickets",
        silent={
            "within the card's bound": non_finite(0.08, rows=1000),
            "above the card's bound alone": non_finite(0.04, rows=1000, bound=0.001),
            "few rows": non_finite(0.25, rows=7),
            **{f"one request {ago} minutes ago": burst(100, ago=ago) for ago in range(1, 8)},
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
        fires=up(still(0), still(0)),
        says="No server of the job softgate has answered for 2 minutes, or none is known.",
        link="/d/softgate-service",
        labels={"job": "softgate"},
        silent={
            "up": up(still(1)),
            "one of two is down": up(still(0), still(1)),
            "one scrape missed": up(f"1x{MINUTES - 2} 0 0"),
        },
    ),
    "SoftgateServerDown": Case(
        fires=up(still(0), still(1)),
        says="pod:8080 has not answered for 5 minutes; other servers do.",
        link="/d/softgate-service?var-instance=pod:8080",
        labels=SERVER,
        silent={
            "up": up(still(1), still(1)),
            "all are down": up(still(0), still(0)),
            "the only one is down": up(still(0)),
            "restarted": up(f"1x{MINUTES - 4} 0 0 0 0", still(1)),
        },
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
            "nine errors": requests(10, ill=1.8),
            **{f"a minute of errors {ago} minutes ago": outage(100, ago=ago) for ago in range(1, 8)},
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
            "saved at the third attempt": {
                of_server("softgate_monitor_state_write_failures_total"): f"0x{MINUTES - 5} 1 2 2 2 2"
            },
            "long ago": {of_server("softgate_monitor_state_write_failures_total"): f"0 1x{MINUTES - 1}"},
        },
    ),
}
