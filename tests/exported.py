"""Series as servers export them, made up: so many a minute, for promtool."""

from collections.abc import Sequence

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
