"""Names of labels, routes and profiles in the exposition: hostile ones, and too many."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expositions import of, parsed
from graphs import LABELS, linear, write_model
from softgate.runtime.repository import read_bundle
from softgate.web.metrics.predictions import MAX_NAMED, OTHER
from watched import Fleet, logits, referenced

HOSTILE = [
    'quo"te',
    "back\\slash",
    "\\",
    '\\"',
    "\\n",
    "100%",
    "%s",
    "%(x)s",
    "{}",
    'a"} 7',
    "# HELP x",
    "ünïcödé 🙂",
    "le",
    OTHER,
]


def test_names_cannot_break_out_of_their_labels(tmp_path: Path) -> None:
    n = len(HOSTILE)
    fleet = Fleet(referenced(tmp_path / "toy", logits(400, n_labels=n), labels=HOSTILE))
    fleet.answer(np.eye(n) * 9)

    series = parsed(fleet.scrape())

    assert of(series, "softgate_predicted_labels_total") == {(name,): 1 for name in HOSTILE}
    assert of(series, "softgate_predicted_routes_total") == {(name,): 1 for name in HOSTILE}


def test_names_of_routes_and_profiles_may_hold_a_newline(tmp_path: Path) -> None:
    routes = {label: f"a\nb {label}" for label in LABELS}
    routing = 'threshold = 0.7\n[routing.profiles."x\\n\\"y"]\nprecision = 0.5'
    folder = write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)), routing=routing, routes=routes)

    series = parsed(Fleet(read_bundle(folder)).scrape())

    assert of(series, "softgate_predicted_routes_total").keys() == {(route,) for route in routes.values()}
    assert of(series, "softgate_threshold_ratio").keys() == {("default",), ('x\n"y',)}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Any]:
    """10 000 labels that hold at once, each with a temperature, one of them with an unlucky name."""
    n, folder = 10_000, tmp_path_factory.mktemp("many") / "toy"
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, n)).astype(np.float32)
    common = rng.permutation(n)[:40]
    rows[:, common] += 6
    labels = [f"label {place}" for place in range(n)]
    labels[common[0]] = OTHER
    temperatures = np.linspace(0.5, 2.0, n).tolist()
    bundle = referenced(
        folder,
        rows,
        truth=rows > 3,
        activation="sigmoid",
        labels=labels,
        temperature=temperatures,
        thresholds={"default": 0.9},
    )
    fleet = Fleet(bundle)
    return fleet, fleet.answer(rng.normal(scale=3, size=(50, n)).astype(np.float32))


def test_of_many_labels_the_commonest_have_a_series_and_the_others_share_one(many: tuple[Fleet, Any]) -> None:
    fleet, answers = many
    bundle = fleet.watched().bundle

    series = parsed(fleet.scrape())

    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None
    before = bundle.calibration.reference.labels
    held = answers.decisions.held.sum(axis=0)
    found = of(series, "softgate_predicted_labels_total")
    own = {label: place for place, label in enumerate(bundle.labels) if label != OTHER}
    assert len(found) <= MAX_NAMED
    assert {bundle.labels[place] for place in np.flatnonzero(before)} <= {name for (name,) in found}
    assert sum(found.values()) == held.sum()
    for (name,), number in found.items():
        if name != OTHER:
            assert number == held[own[name]]
    assert found[OTHER,] == held.sum() - sum(held[own[name]] for (name,) in found if name != OTHER)


def test_nothing_else_has_a_series_for_each_of_many_labels(many: tuple[Fleet, Any]) -> None:
    fleet, _ = many
    series = parsed(fleet.scrape())

    by_name = Counter(name for name, _ in series)
    assert max(by_name.values()) <= MAX_NAMED
    temperatures = of(series, "softgate_temperature")
    labels = fleet.watched().bundle.labels
    for name in ("label 0", "label 7", "label 100"):
        if (name,) in temperatures:
            place = labels.index(name)
            assert temperatures[name,] == pytest.approx(0.5 + 1.5 * place / 9999)


def test_which_labels_have_a_series_does_not_depend_on_traffic(many: tuple[Fleet, Any]) -> None:
    fleet, _ = many
    before = parsed(fleet.scrape()).keys()

    fleet.answer(logits(20, n_labels=10_000, seed=5).astype(np.float32))
    fleet.step()

    assert parsed(fleet.scrape()).keys() == before


def test_of_many_routes_with_thresholds_of_their_own_the_others_share_a_series(tmp_path: Path) -> None:
    n = 1500
    labels = [f"label {place}" for place in range(n)]
    own = {"default": {"label 3": 0.9}, "bold": {"label 4": 0.8}}
    bundle = referenced(
        tmp_path / "toy",
        logits(300, n_labels=n),
        labels=labels,
        card="[routing.profiles.bold]\nprecision = 0.5\n",
        thresholds={"default": 0.5, "bold": 0.3},
        route_thresholds=own,
    )
    fleet = Fleet(bundle)
    answers = fleet.answer(logits(400, n_labels=n, seed=1))

    series = parsed(fleet.scrape())

    for profile, usual in (("default", 0.5), ("bold", 0.3)):
        found = of(series, "softgate_route_rows_below_threshold_total", profile=profile)
        bounds = np.full(n, usual)
        for label, threshold in own[profile].items():
            bounds[int(label.split()[1])] = threshold
        route = answers.decisions.route
        below = answers.decisions.confidence < bounds[route]
        assert len(found) == MAX_NAMED
        assert sum(found.values()) == below.sum()
        assert found["label 3",] == (below & (route == 3)).sum()
