"""How sure the classifiers are, and whether they are as sure as at calibration."""

from collections.abc import Iterator

from softgate.workbench.dashboards.drift import accuracy, distances, movers
from softgate.workbench.dashboards.page import Dashboard, page
from softgate.workbench.dashboards.panels import (
    SHARE,
    Panel,
    Query,
    dashed,
    heading,
    heatmap,
    lines,
    numbers,
    paired_bars,
    states,
)
from softgate.workbench.dashboards.promql import (
    BY_MODEL,
    MODEL,
    RANGE,
    increase,
    largest,
    mean,
    named,
    of_model,
    recorded,
    share,
    total,
)

HISTOGRAM = "softgate_confidence_ratio"


def confidence() -> Dashboard:
    description = "Confidence beside the reference of the calibration, the drift alarm, and what accuracy to expect."
    parts = (_alarms, _distribution, _level, distances, accuracy, movers)
    return page("softgate-confidence", description, [panel for part in parts for panel in part()])


def _alarms() -> Iterator[Panel]:
    yield heading(1, "Alarm")
    yield states(
        2,
        "Alarm",
        "From an alarm until somebody acknowledges it, on any replica.",
        [
            Query(
                largest(f"{BY_MODEL}, detector", of_model("softgate_drift_alarm")),
                "{{model}} {{detector}}",
            )
        ],
        size=(12, 7),
        words={0: ("quiet", "green"), 1: ("alarm", "red")},
    )
    yield lines(
        3,
        "Evidence",
        "What a detector has gathered, as a share of what raises the alarm; the largest of all replicas. It comes and "
        "goes; 100 % is an alarm.",
        [
            Query(
                largest(f"{BY_MODEL}, detector", of_model("softgate_drift_evidence_ratio")),
                "{{model}} {{detector}}",
            )
        ],
        size=(8, 7),
        unit=SHARE,
        limits=(0, 1),
    )
    yield numbers(
        4,
        "Alarms raised",
        "In the time range shown, over all replicas.",
        [
            Query(
                total(f"{BY_MODEL}, detector", increase(of_model("softgate_drift_alarms_total"), window=RANGE)),
                "{{model}} {{detector}}",
            )
        ],
        size=(4, 7),
        unit="none",
    )


def _distribution() -> Iterator[Panel]:
    yield heading(5, "Distribution")
    live = total("le", increase(of_model(f"{HISTOGRAM}_bucket")))
    reference = largest(f"{BY_MODEL}, le", of_model("softgate_reference_confidence_ratio_bucket"))
    yield heatmap(
        6,
        "Confidence of the predicted label",
        "How many rows had which confidence, of all models chosen above together. A cloud that sinks or widens is the "
        "first sign of inputs the model does not know.",
        [Query(live, "{{le}}")],
        size=(12, 9),
    )
    yield heatmap(
        7,
        "The same at calibration",
        "How many rows of the reference had which confidence: what the cloud to the left should look like.",
        [Query(total("le", reference), "{{le}}")],
        size=(4, 9),
    )
    tenths = {"last hour": "confidence_bin:share1h", "reference": "confidence_bin:share_reference"}
    yield paired_bars(
        8,
        "Rows by tenths of the reference",
        "Each bin held a tenth of the reference's rows; its name is its upper end. The share of the last hour's rows "
        "beside it; PSI is made of these.",
        [Query(named(recorded(name), "bin"), title) for title, name in tenths.items()],
        size=(8, 9),
        by="of",
    )


def _level() -> Iterator[Panel]:
    yield heading(9, "Level")
    squares, rows = of_model("softgate_confidence_squares_total"), of_model(f"{HISTOGRAM}_count")
    level = mean(HISTOGRAM)
    deviation = f"sqrt(clamp_min({share(BY_MODEL, squares, rows)} - ({level}) ^ 2, 0))"
    yield lines(
        10,
        "Mean confidence",
        "Mean probability of the predicted label, and a standard deviation to both sides. For a calibrated model the "
        "mean is the share of labels to expect right.",
        [
            Query(level, MODEL),
            Query(f"clamp_max({level} + {deviation}, 1)", f"{MODEL} and a deviation"),
            Query(f"{level} - {deviation}", f"{MODEL} less a deviation"),
            Query(recorded("confidence:mean_reference"), f"{MODEL} reference"),
        ],
        size=(12, 8),
        unit=SHARE,
        limits=(None, 1),
        fill=0,
        overrides=[dashed("/reference$/", "blue"), dashed("/deviation$/", "gray")],
    )
    yield lines(
        11,
        "Shift of the mean, in standard errors",
        "Mean of the last hour less that of the reference, in units of what chance does to it. Beyond 3 either way it "
        "is no chance; whether it matters, the panel to the left says.",
        [Query(recorded("confidence:mean_shift_z1h"), MODEL)],
        size=(8, 8),
        unit="none",
        limits=(None, None),
    )
    yield numbers(
        12,
        "Temperature",
        "What logits are divided by; 1 without a calibration. Above 1 the raw scores were too sure. Where each label "
        "has its own, the largest.",
        [Query(largest(BY_MODEL, of_model("softgate_temperature")), MODEL)],
        size=(4, 8),
        unit="none",
        decimals=3,
    )
