"""deploy/prometheus/rules.yml: what is recorded of a fleet is what numpy makes of the same rows."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, wasserstein_distance

import promtool
from exported import routes
from made_up_fleet import DECILES, LIVE, MINUTES, MODEL, REFERENCE, ROUTES, Rows, fleet
from promtool import series
from softgate.numerics.drift import DRIFT_STATISTICS
from softgate.numerics.histogram import CONFIDENCE_EDGES, count_in_bins
from softgate.numerics.shift import mean_shift

T = TypeVar("T")


def both(live: Rows, look: Callable[[Rows], T]) -> tuple[T, T]:
    """The same of the reference and of live rows."""
    return look(REFERENCE), look(live)


def expected(live: Rows) -> Mapping[str, float]:
    """By record, from the rows themselves."""
    n, m, noise = len(live.confidence), len(REFERENCE.confidence), 1 / len(live.confidence) + 1 / 3000
    fine = both(live, lambda of: count_in_bins(of.confidence, CONFIDENCE_EDGES))
    tenths = both(live, lambda of: count_in_bins(of.confidence, DECILES)[:-1])
    mixes = both(live, lambda of: np.bincount(of.route, minlength=len(ROUTES)))
    seen = np.stack(mixes)[:, np.sum(mixes, axis=0) > 0]
    shift = mean_shift(*both(live, lambda of: (float(of.confidence.mean()), float(of.confidence.std()), len(of.route))))
    psi = DRIFT_STATISTICS["psi"](*tenths, DECILES)
    points = np.append(CONFIDENCE_EDGES, 1.0)
    return {
        "softgate:confidence_rows:increase1h": n,
        "softgate:confidence_rows:reference": m,
        "softgate:confidence_rows:noise1h": noise,
        "softgate:confidence:mean1h": live.confidence.mean(),
        "softgate:confidence:mean_reference": REFERENCE.confidence.mean(),
        "softgate:confidence:deviation1h": live.confidence.std(),
        "softgate:confidence:mean_shift1h": shift.value,
        "softgate:confidence:mean_shift_z1h": shift.z,
        "softgate:confidence:psi1h": psi.value,
        "softgate:confidence:psi_floor1h": psi.floor,
        "softgate:confidence:js1h": DRIFT_STATISTICS["js"](*tenths, DECILES).value,
        "softgate:confidence_bin:freedom": len(DECILES) - 1,
        "softgate:confidence:psi_chi_squared1h": psi.value / noise,
        "softgate:confidence:ks1h": DRIFT_STATISTICS["ks"](*fine, CONFIDENCE_EDGES).value,
        "softgate:confidence:wasserstein1h": wasserstein_distance(points, points, *fine),
        "softgate:rows:increase1h": n,
        "softgate:rows:clarify_share1h": np.mean(live.decision == 1),
        "softgate:rows:below_threshold_share1h": live.below.mean(),
        "softgate:routes:increase1h": n,
        "softgate:routes:reference": m,
        "softgate:routes:psi1h": DRIFT_STATISTICS["psi"](*mixes, np.empty(0)).value,
        "softgate:routes:chi_squared1h": chi2_contingency(seen, correction=False).statistic,
        "softgate:routes:freedom1h": seen.shape[1] - 1,
    }


def looked_at(name: str, value: float, *, tolerance: float) -> dict[str, Any]:
    """Whether the only series of a record has this value."""
    labels = {**MODEL, "profile": "default"} if "below_threshold" in name else MODEL
    return {
        "expr": f"abs({name} - {float(value)!r}) <= bool {float(tolerance)!r}",
        "eval_time": f"{MINUTES}m",
        "exp_samples": [{"labels": series("", **labels), "value": 1}],
    }


@pytest.mark.parametrize("replicas", [1, 2, 8])
@pytest.mark.parametrize("restart_at", [None, 37], ids=["steady", "restarted"])
def test_a_record_is_what_numpy_makes_of_the_same_rows(replicas: int, restart_at: int | None, tmp_path: Path) -> None:
    looks = [looked_at(name, value, tolerance=1e-9 * max(1, abs(value))) for name, value in expected(LIVE).items()]

    done = promtool.run(
        [promtool.case(fleet(LIVE, replicas=replicas, restart_at=restart_at), promql_expr_test=looks)], tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_value_that_is_off_is_found(tmp_path: Path) -> None:
    looks = [looked_at("softgate:confidence:psi1h", expected(LIVE)["softgate:confidence:psi1h"] + 1e-8, tolerance=1e-9)]

    done = promtool.run([promtool.case(fleet(LIVE, replicas=2), promql_expr_test=looks)], tmp_path)

    assert done.returncode == 1


def test_the_shares_of_bins_and_routes_are_those_of_the_smoothed_counts(tmp_path: Path) -> None:
    bins, routes = count_in_bins(LIVE.confidence, DECILES)[:-1] + 0.5, np.bincount(LIVE.route) + 0.5
    looks = []
    for level, label, names, smoothed in (
        ("confidence_bin", "bin", [f"{edge:g}" for edge in DECILES], bins),
        ("route", "route", list(ROUTES), routes),
    ):
        for name, share in zip(names, (smoothed / smoothed.sum()).tolist(), strict=True):
            chosen = series(f"softgate:{level}:share1h", **{label: name})
            look = looked_at(chosen, share, tolerance=1e-12)
            look["exp_samples"][0]["labels"] = series("", **MODEL, **{label: name})
            looks.append(look)

    done = promtool.run([promtool.case(fleet(LIVE, replicas=2), promql_expr_test=looks)], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("reference", "live", "pooled"),
    [
        # The smaller side should have at least 5 of a route.
        ([600, 380, 8, 7, 5, 0], [30, 25, 1, 0, 2, 2], [[600, 380, 20], [30, 25, 5]]),
        ([60, 31, 5, 4, 0], [360, 480, 0, 0, 60], [[60, 31, 0, 9], [360, 480, 60, 0]]),
        ([50, 50], [60, 120], [[50, 50], [60, 120]]),
    ],
    ids=["few rows live", "a small reference", "none is rare"],
)
def test_rare_routes_are_pooled(
    reference: list[float], live: list[float], pooled: list[list[float]], tmp_path: Path
) -> None:
    table = chi2_contingency(pooled, correction=False)
    looks = [
        looked_at("softgate:routes:chi_squared1h", table.statistic, tolerance=1e-6),
        looked_at("softgate:routes:freedom1h", table.dof, tolerance=0),
    ]

    given = routes(*(rows / MINUTES for rows in live), reference=reference)
    done = promtool.run([promtool.case(given, promql_expr_test=looks)], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "freedom"),
    [("softgate:confidence:psi_chi_squared_critical", 9), ("softgate:routes:chi_squared_critical1h", 3)],
)
def test_a_critical_value_is_the_quantile_of_chi_squared(name: str, freedom: int, tmp_path: Path) -> None:
    """Wilson and Hilferty's cube is an approximation; an error of a fiftieth moves the chance of .001 by a fifth."""
    looks = [looked_at(name, chi2.ppf(0.999, freedom), tolerance=0.02 * chi2.ppf(0.999, freedom))]

    done = promtool.run([promtool.case(fleet(LIVE, replicas=1), promql_expr_test=looks)], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_record_of_a_model_is_compared() -> None:
    others = {
        "softgate:confidence_bin:increase1h",
        "softgate:confidence_bin:share1h",
        "softgate:confidence_bin:share_reference",
        "softgate:confidence:psi_chi_squared_critical",
        "softgate:confidence_bucket:gap1h",
        "softgate:route:increase1h",
        "softgate:route:share1h",
        "softgate:route:share_reference",
        "softgate:route:reference",
        "softgate:route:imbalance1h",
        "softgate:route:frequent1h",
        "softgate:routes:rare1h",
        "softgate:routes:chi_squared_critical1h",
        "softgate:non_finite_rows:increase15m",
        "softgate:non_finite_rows:increase5m",
        "softgate:rows:non_finite_share15m",
        "softgate:rows:non_finite_share5m",
        "softgate:server_errors:rate5m",
    }

    assert promtool.rules("record").keys() == expected(LIVE).keys() | others


def test_a_model_without_a_calibration_has_a_mean_and_no_distance(tmp_path: Path) -> None:
    plain = {
        name.replace(MODEL["calibration"], ""): values
        for name, values in fleet(LIVE, replicas=1).items()
        if "reference" not in name and "_bin_" not in name
    }
    looks: list[dict[str, Any]] = [
        {
            "expr": "count by (calibration) (softgate:confidence:mean1h)",
            "eval_time": "60m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        },
        *(
            {"expr": f"softgate:confidence:{name}", "eval_time": "60m", "exp_samples": []}
            for name in ("psi1h", "js1h", "ks1h", "wasserstein1h", "mean_shift1h", "psi_chi_squared_critical")
        ),
    ]

    done = promtool.run([promtool.case(plain, promql_expr_test=looks)], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_without_traffic_there_is_no_distance(tmp_path: Path) -> None:
    nobody = LIVE.only(slice(0))
    names = ("confidence:mean1h", "confidence:ks1h", "confidence:psi_chi_squared1h", "rows:clarify_share1h")
    looks = [{"expr": f"softgate:{name}", "eval_time": "60m", "exp_samples": []} for name in names]

    done = promtool.run([promtool.case(fleet(nobody, replicas=2), promql_expr_test=looks)], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_widths_written_out_are_those_of_the_edges() -> None:
    expression = promtool.rules("record")["softgate:confidence:wasserstein1h"]["expr"]
    written = _widths(expression)

    for edge, width in zip(CONFIDENCE_EDGES[:-1].tolist(), np.diff(CONFIDENCE_EDGES).tolist(), strict=True):
        (found,) = (own for own, pattern in written if pattern.fullmatch(repr(edge)))
        assert found == pytest.approx(width, abs=1e-12)
    assert not [own for own, pattern in written for bound in ("1.0", "+Inf") if pattern.fullmatch(bound)]


def _widths(expression: str) -> list[tuple[float, Any]]:
    found = re.findall(r'([\d.]+) \* abs\(\S+{le=(~?)"([^"]*)"}\)', expression)
    return [(float(width), re.compile(text if is_pattern else re.escape(text))) for width, is_pattern, text in found]
