"""For every alert of deploy/prometheus/rules.yml: series that make it fire, what it says, and series that must not."""

from collections.abc import Mapping
from typing import NamedTuple

from exported import (
    MINUTES,
    MODEL,
    MODEL_OF,
    SERVER,
    alarm,
    below,
    bins,
    burst,
    confidence,
    count,
    decisions,
    labels,
    non_finite,
    of_server,
    outage,
    requests,
    routes,
    starts,
    still,
    up,
)
from promtool import Series


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
    "SoftgateTokensNotRead": Case(
        fires={of_server("softgate_tokens_file_failures_total"): f"0x{MINUTES - 5} 2 2 2 2 2"},
        says="pod:8080: 2 times in the last 15 minutes a worker could not read it.",
        link="/d/softgate-service?var-instance=pod:8080",
        labels=SERVER,
        silent={
            "read": {of_server("softgate_tokens_file_failures_total"): still(0)},
            "long ago": {of_server("softgate_tokens_file_failures_total"): f"0 1x{MINUTES - 1}"},
        },
    ),
}
