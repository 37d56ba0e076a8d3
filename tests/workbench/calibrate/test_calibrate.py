"""The use case, from labelled rows to the file: what is fitted, what is promised, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from calibrating import (
    DIGEST,
    EYE,
    HELD,
    LOGITS,
    TARGETS,
    calibrated,
    evidence,
    examples,
    model,
    pairs,
    promise,
    values,
)
from graphs import LABELS, linear, load_classifier, softmax_of, write_model
from softgate.errors import DataInvalid
from softgate.numerics.activations import ACTIVATIONS, log_softmax, softmax
from softgate.numerics.out_of_scope import out_of_scope_gate
from softgate.numerics.temperature import (
    fit_robust_temperature,
    fit_temperature,
    fit_temperature_by_brier,
    fit_temperature_sigmoid,
)
from softgate.numerics.thresholds import precision_threshold, rows_needed
from softgate.runtime.repository import Model, read_bundle
from softgate.types import Reason
from softgate.workbench.calibrate.files import write
from softgate.workbench.examples import Examples


@pytest.mark.parametrize("robust", [True, False])
def test_the_temperature_is_the_one_that_numerics_fits(robust: bool, tmp_path: Path) -> None:
    fit = (fit_robust_temperature if robust else fit_temperature)(LOGITS, TARGETS)

    found = calibrated(model(tmp_path / "toy"), examples(), robust=robust)

    told = evidence(found)["temperature"]
    assert values(found)["temperature"] == found.calibration.temperature == fit.temperature
    assert 2 < fit.temperature < 4
    assert values(found).get("noise") == (fit.noise if robust else None)
    assert told["method"] == ("robust" if robust else "plain")
    assert told["plain"] == (fit_temperature(LOGITS, TARGETS).temperature if robust else None)
    assert told["interval"][0] < fit.temperature < told["interval"][1]
    assert told["interval_method"] == "bootstrap"


@pytest.mark.parametrize("activation", ["sparsemax", "entmax15"])
def test_an_activation_with_exact_zeros_is_fitted_by_its_brier_score(activation: str, tmp_path: Path) -> None:
    found = calibrated(model(tmp_path / "toy", activation=activation), examples())

    fit = fit_temperature_by_brier(LOGITS, TARGETS, activation=ACTIVATIONS[activation])
    quality = evidence(found)["quality"]
    assert found.calibration.temperature == fit.temperature
    assert evidence(found)["temperature"]["method"] == "brier"
    assert quality["after"]["brier"] < quality["before"]["brier"]
    assert "nll" not in quality["after"]


def test_a_sigmoid_gets_one_temperature_from_all_pairs(tmp_path: Path) -> None:
    data = pairs()
    held = np.array([[label in names for label in LABELS] for names in data.labels])

    found = calibrated(model(tmp_path / "toy", activation="sigmoid"), data)

    told = evidence(found)
    assert found.calibration.temperature == fit_temperature_sigmoid(LOGITS, held).temperature
    assert (found.calibration.gate, found.calibration.set_quantile) == (None, None)
    assert told["data"]["multi_label"]
    assert sum(told["reliability"]["after"]["rows"]) == LOGITS.size
    assert told["quality"]["after"]["ece15"] < told["quality"]["before"]["ece15"]
    assert told["gate"]["why"] == "labels that may hold at the same time have no energy in common"
    assert promise(found)["held_out"]["precision"] > 0.8


def test_a_sigmoid_gets_a_temperature_per_label_where_that_is_worth_it(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    temperatures = np.array([0.5, 1.0, 2.0, 4.0])
    logits = random.normal(scale=4, size=(3000, 4)).astype(np.float32)
    held = random.random(logits.shape) < 1 / (1 + np.exp(-logits / temperatures))

    found = calibrated(model(tmp_path / "toy", activation="sigmoid"), pairs(logits, held), richer=True)

    richer = evidence(found)["temperature"]["richer"]
    assert isinstance(found.calibration.temperature, tuple)
    np.testing.assert_allclose(found.calibration.temperature, temperatures, rtol=0.15)
    assert (richer["map"], richer["chosen"]) == ("per_label", True)
    assert richer["gain"] > richer["standard_error"]


def test_shifts_are_fitted_where_they_are_worth_it_and_only_there(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    logits = random.normal(scale=3, size=(3000, 4)).astype(np.float32)
    shift = np.array([1.0, 0.0, 0.0, -1.0])
    for name, by in (("shifted", shift), ("as they are", np.zeros(4))):
        targets = (logits / 2 + by + random.gumbel(size=logits.shape)).argmax(axis=1)

        found = calibrated(model(tmp_path / name), examples(logits.tolist(), targets), richer=True)

        richer = evidence(found)["temperature"]["richer"]
        assert richer["map"] == "bias"
        assert richer["chosen"] == (richer["gain"] > richer["standard_error"]) == (found.calibration.bias is not None)
        assert richer["chosen"] == (name == "shifted")
        if name == "shifted":
            assert found.calibration.bias == pytest.approx(shift, abs=0.15)


def test_gate_and_threshold_are_those_of_numerics_on_the_rows_past_it(tmp_path: Path) -> None:
    out = np.random.default_rng(4).normal(-10, 3, size=(200, 4)).astype(np.float32)
    data = Examples(
        [*LOGITS.tolist(), *out.tolist()], [*examples().labels, *[("oos",)] * 200], DIGEST, places=["x"] * 1400
    )
    routes = {"transfer": "banking", "balance": "banking"}

    found = calibrated(model(tmp_path / "toy", routes=routes), data, out_of_scope_label="oos")

    temperature = fit_robust_temperature(LOGITS, TARGETS).temperature
    gate = out_of_scope_gate(LOGITS, temperature=temperature, share=0.05)
    logits = np.concatenate([LOGITS, out])
    p = softmax(logits / np.float64(temperature))
    by_route = np.stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 3]], axis=1)
    truth = np.concatenate([np.array([0, 0, 1, 2])[TARGETS], np.full(200, -1)])
    past = temperature * np.log(np.exp(logits / np.float64(temperature)).sum(axis=1)) >= gate
    expected = precision_threshold(
        by_route.max(axis=1)[past], (by_route.argmax(axis=1) == truth)[past], precision=0.8, risk=0.1
    )
    assert found.calibration.gate == pytest.approx(gate, rel=1e-12)
    assert found.calibration.thresholds["default"] == pytest.approx(expected.threshold, rel=1e-12)
    told = promise(found)
    assert (told["accepted"], told["errors"]) == (
        expected.accepted[expected.index],
        expected.errors[expected.index],
    )
    assert told["assumes"] == "14.3 % out-of-scope traffic"
    assert evidence(found)["data"]["out_of_scope"] == 200
    assert evidence(found)["gate"]["out_of_scope_rejected"] > evidence(found)["gate"]["in_scope_rejected"]


def test_without_rows_out_of_scope_the_promise_says_so(tmp_path: Path) -> None:
    assert promise(calibrated(model(tmp_path / "toy"), examples()))["assumes"] == ("no out-of-scope traffic assumed")


def test_every_profile_has_its_own_threshold(tmp_path: Path) -> None:
    routing = "precision = 0.7\n[routing.profiles.high_risk]\nprecision = 0.85\n[routing.profiles.sure]\nrisk = 0.01"

    found = calibrated(model(tmp_path / "toy", routing=routing), examples())

    thresholds = found.calibration.thresholds
    assert thresholds.keys() == {"default", "high_risk", "sure"}
    assert thresholds["default"] < thresholds["high_risk"]
    assert thresholds["default"] <= thresholds["sure"]


def test_a_threshold_in_the_card_promises_nothing(tmp_path: Path) -> None:
    found = calibrated(model(tmp_path / "toy", routing="threshold = 0.7\nprecision = 0.999"), examples())

    assert found.calibration.thresholds == {}
    assert evidence(found)["promises"] == {}


@pytest.mark.parametrize(
    ("n_rows", "routing", "per_route", "sentence"),
    [
        (100, "precision = 0.99", False, "takes at least 368 rows, none of them wrong, and there are 9"),
        (80, "precision = 0.95", True, "takes 99 rows that are routed to it, none of them wrong, and the largest has "),
        (1200, "precision = 0.999", False, "takes at least 3688 rows"),
        (1200, "precision = 0.98\nrisk = 0.01", False, "errors, which bounds the precision at 0."),
        (1200, "[routing.profiles.high]\nprecision = 0.999\n", False, "Profile high: the rows do not carry"),
    ],
)
def test_a_promise_that_the_rows_do_not_carry_is_refused_with_the_rows_it_takes(
    n_rows: int, routing: str, per_route: bool, sentence: str, tmp_path: Path
) -> None:
    if "profiles" in routing:
        routing = f"precision = 0.7\n{routing}"
    data = examples(LOGITS[:n_rows].tolist(), TARGETS[:n_rows])

    with pytest.raises(DataInvalid) as caught:
        calibrated(model(tmp_path / "toy", routing=routing), data, per_route=per_route)

    assert sentence in str(caught.value)
    assert str(caught.value).endswith("Nothing was written.")


@pytest.mark.parametrize(("n_rows", "precision"), [(200, 0.85), (300, 0.9), (600, 0.94), (1200, 0.955), (1200, 0.97)])
def test_a_refusal_gives_a_bound_that_is_below_what_is_wanted(n_rows: int, precision: float, tmp_path: Path) -> None:
    data = examples(LOGITS[:n_rows].tolist(), TARGETS[:n_rows])

    with pytest.raises(DataInvalid) as caught:
        calibrated(model(tmp_path / "toy", routing=f"precision = {precision}"), data)

    assert float(str(caught.value).partition("bounds the precision at ")[2][:5]) < precision


def test_20_rows_per_class_carry_no_promise_for_each_class(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    labels = [f"label_{place}" for place in range(50)]
    targets = np.repeat(np.arange(50), 20)
    logits = 2 * random.gumbel(size=(1000, 50)) + 14 * np.eye(50)[targets]
    folder = write_model(tmp_path / "many", linear(np.eye(50, dtype=np.float32)), labels=labels, routing="")
    data = Examples(logits.tolist(), [(labels[target],) for target in targets], DIGEST)

    with pytest.raises(DataInvalid, match=r"^no route has rows enough for a precision of 0\.95 at a risk of 0\.1") as e:
        calibrated(Model(read_bundle(folder), threads=1), data, per_route=True)

    # ln(0.1 / 50 / 4) / ln 0.95 = 148.2.
    assert "it takes 149 rows that are routed to it, none of them wrong, and the largest has " in str(e.value)


def test_routes_with_rows_enough_get_a_threshold_of_their_own(tmp_path: Path) -> None:
    # One route of many rows, two of few that are right.
    said = LOGITS.argmax(axis=1)
    few = [np.flatnonzero((said == place) & (place == TARGETS))[:12] for place in (2, 3)]
    rows = np.concatenate([np.flatnonzero(said < 2), *few])
    toy = model(tmp_path / "toy", routing="precision = 0.7", routes={"transfer": "banking", "balance": "banking"})

    found = calibrated(toy, examples(LOGITS[rows].tolist(), TARGETS[rows]), per_route=True)

    own = found.calibration.route_thresholds["default"]
    told = promise(found)
    assert own.keys() == {"banking"}
    assert told["routes"]["banking"]["threshold"] == own["banking"]
    # The others share one, tested on their own rows past the gate.
    assert 12 < told["tested"]["accepted"][-1] <= 24
    # Two tests share the risk, and each its four starts.
    assert told["rows_needed"] == rows_needed(0.7, 0.1 / 2 / 4)


def test_evaluation_is_on_rows_that_others_fitted(tmp_path: Path) -> None:
    told = evidence(calibrated(model(tmp_path / "toy"), examples()))

    assert (told["data"]["evaluation"], told["data"]["folds"]) == ("cross-fitted", 5)
    assert told["quality"]["after"]["nll"] < told["quality"]["before"]["nll"]
    assert told["quality"]["after"]["accuracy"] == told["quality"]["before"]["accuracy"]
    assert sum(told["sets"]["sizes"]) == len(LOGITS)
    assert told["sets"]["sizes"][0] == 0
    assert told["sets"]["held_out_coverage"] == pytest.approx(0.95, abs=0.02)
    assert told["gate"]["in_scope_rejected"] == pytest.approx(0.05, abs=0.015)


def test_labels_at_random_are_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    noise = random.integers(0, 4, len(LOGITS))

    with pytest.raises(DataInvalid):
        calibrated(model(tmp_path / "toy", routing="precision = 0.5"), examples(targets=noise))


def test_other_rows_judge_where_they_are_given(tmp_path: Path) -> None:
    half = len(LOGITS) // 2
    first, second = (
        Examples(LOGITS[part].tolist(), examples().labels[part], name * 64)
        for part, name in ((slice(half), "a"), (slice(half, None), "b"))
    )

    found = calibrated(model(tmp_path / "toy"), first, second)

    data = evidence(found)["data"]
    assert found.calibration.temperature == fit_robust_temperature(LOGITS[:half], TARGETS[:half]).temperature
    assert (data["evaluation"], data["folds"]) == ("separate", None)
    assert (data["sha256"], data["eval"]["sha256"]) == ("a" * 64, "b" * 64)
    assert sum(evidence(found)["reliability"]["after"]["rows"]) == half


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ({"output": 'kind = "probabilities"'}, "the graph gives no raw logits"),
        ({"routing": "precision = 0.8\nout_of_scope = 0.0"}, "the card allows no row in scope to be turned away"),
    ],
)
def test_a_gate_that_cannot_be_is_explained(folder: dict[str, Any], why: str, tmp_path: Path) -> None:
    graph = softmax_of(4) if "output" in folder else linear(EYE)
    card = {"routing": "precision = 0.8"} | folder
    toy = Model(read_bundle(write_model(tmp_path / "toy", graph, **card)), threads=1)

    found = calibrated(toy, examples())

    assert found.calibration.gate is None
    assert why in evidence(found)["gate"]["why"]


def test_log_softmax_given_as_logits_gets_no_gate_and_a_doubt(tmp_path: Path) -> None:
    given = Examples((), examples().labels, DIGEST, logits=log_softmax(LOGITS).astype(np.float32))

    found = calibrated(model(tmp_path / "toy"), given)

    assert found.calibration.gate is None
    assert found.doubts == [f"No out-of-scope gate: {evidence(found)['gate']['why']}."]
    assert "exports log-softmax" in found.doubts[0]


def test_sets_may_be_lac_and_per_class(tmp_path: Path) -> None:
    found = calibrated(model(tmp_path / "toy"), examples(), set_score="lac", sets_per_class=True)

    assert found.calibration.set_score == "lac"
    assert isinstance(found.calibration.set_quantile, tuple)
    assert len(found.calibration.set_quantile) == 4
    assert evidence(found)["sets"]["per_class"]


def test_the_reference_counts_every_row_as_it_is_decided(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy")

    found = calibrated(toy, examples())

    told = values(found)["reference"]
    write(toy.bundle, calibration=found.content, golden=None)
    classifier = load_classifier(tmp_path / "toy", max_rows=5000)
    served = classifier.predict_now(classifier.check(LOGITS.tolist()))
    classifier.close()
    assert told["rows"] == len(LOGITS)
    for name in ("label_confidence", "label_confidence_deciles", "route_confidence", "margin", "entropy", "energy"):
        assert sum(told[name]["counts"]) == len(LOGITS)
        assert len(told[name]["counts"]) == len(told[name]["upper_edges"]) + 1
    assert told["labels"] == np.bincount(served.scores.label, minlength=4).tolist()
    assert told["label_confidence"]["mean"] == pytest.approx(served.scores.confidence.mean(), rel=1e-12)
    routed = int((served.decisions.reason == Reason.CONFIDENT).sum())
    assert told["decisions"]["route confident"] == routed
    assert sum(told["decisions"].values()) == len(LOGITS)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "sparsemax", "entmax15"])
def test_every_activation_loads_with_its_calibration(activation: str, tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", activation=activation, routing="precision = 0.7")

    found = calibrated(toy, pairs() if activation == "sigmoid" else examples())
    write(toy.bundle, calibration=found.content, golden=None)

    loaded = load_classifier(tmp_path / "toy")
    assert loaded.calibration_id == values(found)["digest"][:12] == found.calibration.id
    assert loaded.predict_now(loaded.check([[30.0, -30.0, -30.0, -30.0]])).decisions.reason[0] == Reason.CONFIDENT
    loaded.close()


@pytest.mark.parametrize(
    ("rows", "targets", "message"),
    [
        (
            LOGITS.tolist(),
            LOGITS.argmax(axis=1),
            r"^The fitted temperature lies at 0\.05, an end of the range 0\.05 to 20\. ",
        ),
        (
            LOGITS.tolist(),
            LOGITS.argmin(axis=1),
            r"^The fitted temperature lies at 20, an end of the range 0\.05 to 20\. ",
        ),
        (
            [[1.0] * 4] * 9,
            np.zeros(9, np.intp),
            r"^The temperature cannot be fitted: Expected logits that differ within",
        ),
    ],
)
def test_data_that_cannot_carry_a_temperature_are_refused(
    rows: list[list[float]], targets: NDArray[np.intp], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match=message):
        calibrated(model(tmp_path / "toy"), examples(rows, targets))


def confident_errors() -> Examples:
    """Scores whose size says nothing: right nine times in ten, whether small or large."""
    draws = np.random.default_rng(0)
    sizes = draws.uniform(1, 6, size=3000)
    truth = draws.integers(0, 2, size=3000)
    shown = np.where(draws.random(3000) < 0.9, truth, 1 - truth)
    rows = np.stack([np.where(shown == k, sizes, 0.0) for k in (0, 1)], axis=1)
    return Examples(rows.tolist(), [(LABELS[k],) for k in truth], DIGEST)


def test_a_fit_that_takes_confident_errors_for_wrong_labels_is_doubted(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "two", linear(np.eye(2, dtype=np.float32)), labels=LABELS[:2])
    two = Model(read_bundle(folder), threads=1)

    robust, plain = (calibrated(two, confident_errors(), robust=robust) for robust in (True, False))

    assert robust.calibration.noise is not None
    assert robust.calibration.noise > 0.1
    (doubt,) = robust.doubts
    assert f"--plain is the fit to use: it gives T = {plain.calibration.temperature:.4g}." in doubt
    assert plain.doubts == []


def test_few_rows_and_a_single_label_are_doubted(tmp_path: Path) -> None:
    rows = np.flatnonzero(TARGETS == 0)[:20]

    found = calibrated(
        model(tmp_path / "toy", routing="threshold = 0.7"),
        examples(LOGITS[rows].tolist(), TARGETS[rows]),
        robust=False,
    )

    assert [doubt.split(";")[0] for doubt in found.doubts] == [
        "From 20 rows T is uncertain by a tenth and more",
        "All rows have one label",
    ]


def test_good_data_raises_no_doubt(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(scale=3, size=(1000, 4)).astype(np.float32)
    toy = model(tmp_path / "toy", routing="threshold = 0.7")
    for seed in range(10):
        draws = np.random.default_rng(seed)
        targets = np.array([draws.choice(4, p=p) for p in softmax(logits)])

        assert calibrated(toy, examples(logits.tolist(), targets)).doubts == []


def test_two_rows_are_enough_to_be_refused_in_a_sentence(tmp_path: Path) -> None:
    for n_rows in (1, 2, 3):
        with pytest.raises(DataInvalid):
            calibrated(model(tmp_path / str(n_rows)), examples(LOGITS[:n_rows].tolist(), TARGETS[:n_rows]))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_what_a_threshold_of_the_card_lets_through_is_in_no_promise(activation: str, tmp_path: Path) -> None:
    several = activation == "sigmoid"
    routing = "precision = 0.9\nout_of_scope = 0.0\n[routing.thresholds]\ntransfer = 0.5"
    routing = f'priority = ["transfer"]\n{routing}' if several else routing
    toy = model(tmp_path / "toy", activation=activation, routing=routing)

    found = calibrated(toy, pairs() if several else examples())

    told = promise(found)
    write(toy.bundle, calibration=found.content, golden=None)
    classifier = load_classifier(tmp_path / "toy", max_rows=5000)
    served = classifier.predict_now(classifier.check(LOGITS.tolist())).decisions
    classifier.close()
    first = served.route if served.first is None else served.first
    about = (served.reason == Reason.CONFIDENT) & (first != 0)
    right = HELD[np.arange(len(HELD)), first] if several else served.route == TARGETS
    assert told["stated"] == ["transfer"]
    assert (told["accepted"], told["errors"]) == (about.sum(), (about & ~right).sum())
    assert told["held_out"]["precision"] == pytest.approx(right[about].mean(), abs=0.05)


def test_thresholds_of_the_card_for_all_routes_promise_nothing(tmp_path: Path) -> None:
    own = "\n".join(f"{label} = 0.5" for label in LABELS)

    found = calibrated(model(tmp_path / "toy", routing=f"precision = 0.9\n[routing.thresholds]\n{own}"), examples())

    assert found.calibration.thresholds == {}
    assert evidence(found)["promises"] == {}


@pytest.mark.parametrize("options", [{"per_route": True}, {"sets_per_class": True}, {"set_score": "lac"}])
def test_what_several_labels_do_not_have_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        DataInvalid, match=r"^Labels of this model may hold at the same time: it has no prediction sets"
    ):
        calibrated(model(tmp_path / "toy", activation="sigmoid"), pairs(), **options)


def test_which_label_counts_first_is_part_of_what_is_tested(tmp_path: Path) -> None:
    """With a priority the target depends on which labels hold: every threshold is tried as it would be served."""
    routing = 'precision = 0.75\npriority = ["joke"]'
    toy = model(tmp_path / "toy", activation="sigmoid", routing=routing)
    data = pairs()

    found = calibrated(toy, data)
    write(toy.bundle, calibration=found.content, golden=None)

    classifier = load_classifier(tmp_path / "toy", max_rows=5000)
    served = classifier.predict_now(classifier.check(LOGITS.tolist())).decisions
    classifier.close()
    routed = np.flatnonzero(served.action == 0)
    wrong = [row for row in routed.tolist() if LABELS[served.route[row]] not in data.labels[row]]
    assert (promise(found)["accepted"], promise(found)["errors"]) == (len(routed), len(wrong))


def test_a_worse_loss_is_not_laid_to_wrong_labels_where_none_was_found(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", routing="threshold = 0.5")

    found = calibrated(toy, examples(LOGITS[:8].tolist(), TARGETS[:8]))

    assert found.calibration.noise == 0
    assert evidence(found)["quality"]["after"]["nll"] > evidence(found)["quality"]["before"]["nll"] + 0.01
    assert [doubt for doubt in found.doubts if "--plain" in doubt] == []


def test_of_many_routes_that_keep_no_promise_a_few_are_named(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    labels = [f"label_{place}" for place in range(12)]
    targets = np.repeat(np.arange(12), 100)
    said = np.where(random.random(1200) < 0.6, targets, random.integers(0, 12, 1200))
    logits = random.gumbel(size=(1200, 12)) + 6 * np.eye(12)[said]
    folder = write_model(
        tmp_path / "many", linear(np.eye(12, dtype=np.float32)), labels=labels, routing="precision = 0.9"
    )
    data = Examples(logits.tolist(), [(labels[target],) for target in targets], DIGEST)

    with pytest.raises(DataInvalid) as caught:
        calibrated(Model(read_bundle(folder), threads=1), data, per_route=True)

    assert str(caught.value).count("does not keep") == 5
    assert "7 more routes do not." in str(caught.value)
