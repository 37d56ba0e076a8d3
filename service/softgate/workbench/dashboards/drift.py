"""How far from the reference, whether accuracy suffers, and what moved: the lower half of the confidence dashboard."""

from collections.abc import Iterator

from softgate.workbench.dashboards.panels import SHARE, Panel, Query, bars, dashed, heading, lines, states
from softgate.workbench.dashboards.promql import BY_MODEL, MODEL, RANGE, furthest, largest, of_model, recorded, share_by


def distances() -> Iterator[Panel]:
    yield heading(13, "Distance from the reference")
    critical = f"{recorded('confidence:psi_chi_squared_critical')} * {recorded('confidence_rows:noise1h')}"
    yield lines(
        14,
        "PSI",
        "Population stability index of the last hour, of the whole fleet. The floor is what chance gives at this many "
        "rows; above the critical line it is chance once in a thousand times. From 0.1 it matters.",
        [
            Query(recorded("confidence:psi1h"), MODEL),
            Query(recorded("confidence:psi_floor1h"), f"{MODEL} floor"),
            Query(critical, f"{MODEL} critical"),
        ],
        size=(12, 8),
        unit="none",
        overrides=[dashed("/floor$/", "gray"), dashed("/critical$/", "red")],
    )
    yield lines(
        15,
        "KS",
        "Largest gap between the cumulative distributions of the last hour and the reference.",
        [Query(recorded("confidence:ks1h"), MODEL)],
        size=(6, 8),
        unit="none",
    )
    yield lines(
        16,
        "Wasserstein and Jensen-Shannon",
        "By how much confidence, on average, the rows of the last hour would have to move to lie as the reference; and "
        "the Jensen-Shannon divergence in nats, at most 0.69.",
        [
            Query(recorded("confidence:wasserstein1h"), f"{MODEL} Wasserstein"),
            Query(recorded("confidence:js1h"), f"{MODEL} Jensen-Shannon"),
        ],
        size=(6, 8),
        unit="none",
    )


def accuracy() -> Iterator[Panel]:
    yield heading(17, "Accuracy without labels")
    by = f"{BY_MODEL}, estimator"
    yield lines(
        18,
        "Estimated accuracy",
        "Share of the last hour's labels to expect right, estimated without knowing one: the mean of the replicas. "
        "To be believed only while the panel to the right says so.",
        [
            Query(
                f"avg by ({by}) ({of_model('softgate_estimated_accuracy_ratio')} >= 0)",
                f"{MODEL} {{{{estimator}}}}",
            )
        ],
        size=(12, 7),
        unit=SHARE,
        limits=(0, 1),
        fill=0,
    )
    yield states(
        19,
        "Is the estimate valid?",
        "No, while an alarm or the gate of any replica says that traffic is not what the estimate assumes.",
        [
            Query(
                f"min by ({by}) ({of_model('softgate_estimated_accuracy_valid')})",
                f"{MODEL} {{{{estimator}}}}",
            )
        ],
        size=(12, 7),
        words={0: ("not valid", "orange"), 1: ("valid", "green")},
    )


def movers() -> Iterator[Panel]:
    yield heading(20, "What moved")
    labels = of_model("softgate_predicted_labels_total")
    now, then = share_by("label", labels, window=RANGE), share_by("label", labels, window=RANGE, offset="1d")
    yield bars(
        21,
        "Labels that moved most since yesterday",
        "Share among a model's labels in the time range shown, less the share a day before it, of the ten labels "
        "furthest apart. Empty without traffic a day ago.",
        [Query(furthest(10, f"{now} - {then}"), "{{model}} {{label}}")],
        size=(8, 9),
        unit=SHARE,
        decimals=1,
    )
    yield bars(
        22,
        "Routes that moved most since calibration",
        "Share of the last hour less share of the reference, of the ten candidate routes furthest apart.",
        [
            Query(
                furthest(10, f"{recorded('route:share1h')} - {recorded('route:share_reference')}"),
                "{{model}} {{route}}",
            )
        ],
        size=(8, 9),
        unit=SHARE,
        decimals=1,
    )
    yield lines(
        23,
        "Labels that vanished or exploded",
        "Labels that the last hour has far less or far more of than the reference, on the replica with most of them.",
        [Query(largest(f"{BY_MODEL}, kind", of_model("softgate_drifted_labels")), f"{MODEL} {{{{kind}}}}")],
        size=(8, 9),
        unit="suffix: labels",
        reach=5,
    )
