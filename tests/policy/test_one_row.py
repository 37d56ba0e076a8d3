"""The short way of a single row gives what the way of batches gives, bit for bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from softgate.numerics.conformal import least_ambiguous, mass_before
from softgate.policy.decision import Routing, decide, routing
from softgate.policy.one_row import MOST_CLASSES, N_LEADING, OneRow
from softgate.policy.readout import Readout, read_out
from softgate.policy.scoring import MOST_RANKED, score, show
from softgate.runtime.card import Profile, RoutingCard
from softgate.types import Action, View

logits = st.integers(2, 40).flatmap(
    lambda n: arrays(
        np.float32,
        (1, n),
        # A few values that come often give ties.
        elements=st.floats(-60, 60, width=32) | st.sampled_from([0.0, 1.0, 2.5]),
    )
)
widest = st.floats(width=32, allow_nan=False, allow_infinity=False)
# Not 0.3 and not 2: quotients round.
temperatures = st.sampled_from([0.05, 0.7, 1.0, 1.3, 20.0])


def card(**given: Any) -> RoutingCard:
    plain = {"precision": 0.95, "risk": 0.1, "out_of_scope": 0.05, "coverage": 0.95, "clarify": 3, "threshold": 0.7}
    none = {"thresholds": {}, "priority": (), "routes": {}, "profiles": {"high": Profile(precision=0.99, risk=0.1)}}
    return RoutingCard(fallback="human", abstain="human", **plain | none | given)


@st.composite
def routings(draw: st.DrawFn, n_classes: int) -> Routing:
    labels = [f"label {place}" for place in range(n_classes)]
    n_routes = draw(st.integers(1, n_classes))
    routes = {} if draw(st.booleans()) else {label: f"route {place % n_routes}" for place, label in enumerate(labels)}
    laid_out = routing(card(threshold=draw(st.none() | st.floats(0, 1)), routes=routes), None, labels)
    quantile = draw(st.none() | st.floats(0, 1) | arrays(np.float64, n_classes, elements=st.floats(0, 1)))
    return replace(
        laid_out,
        clarify=draw(st.integers(0, 4)),
        gate=draw(st.none() | st.floats(-60, 60)),
        set_quantile=quantile,
        calibrated=draw(st.booleans()),
    )


def both(
    z: NDArray[np.float32],
    laid_out: Routing,
    *,
    temperature: float,
    bias: NDArray[np.float64] | None,
    profile: int,
    shows_all: bool = False,
) -> tuple[Readout | None, Readout]:
    names = np.array(laid_out.labels, dtype=object)
    one = OneRow.fitting(
        activation="softmax",
        temperature=temperature,
        bias=bias,
        routing=laid_out,
        names=laid_out.labels,
        with_energy=True,
    )
    assert one is not None
    scores = score(z, activation="softmax", temperature=temperature, bias=bias, with_energy=True)
    decisions = decide(scores, laid_out, np.array([profile]))
    shown = show(scores, View(), activation="softmax", bias=bias)
    return one(z, profile, shows_all=shows_all), read_out(
        shown, decisions, fitted=scores.probabilities, names=names, routing=laid_out
    )


def plain(readout: Readout) -> dict[str, Any]:
    """As lists, and with NaN equal to itself."""
    return {name: repr([*part] if isinstance(part, tuple) else part) for name, part in readout._asdict().items()}


@settings(max_examples=400)
@given(st.data(), logits, temperatures, st.integers(0, 1))
def test_one_row_is_read_out_as_in_a_batch(
    data: st.DataObject, z: NDArray[np.float32], temperature: float, profile: int
) -> None:
    laid_out = data.draw(routings(z.shape[1]))
    bias = data.draw(st.none() | arrays(np.float64, z.shape[1], elements=st.floats(-3, 3)))
    found, expected = both(z, laid_out, temperature=temperature, bias=bias, profile=profile)

    assert found is not None
    assert plain(found) == plain(expected)


@given(st.data(), logits, temperatures, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_row_that_is_not_finite_goes_the_long_way_without_a_warning(
    data: st.DataObject, z: NDArray[np.float32], temperature: float, bad: float
) -> None:
    z = z.copy()
    z[0, data.draw(st.integers(0, z.shape[1] - 1))] = bad
    found, expected = both(z, data.draw(routings(z.shape[1])), temperature=temperature, bias=None, profile=0)

    assert found is None
    assert expected.finite == [False]


@given(st.data(), widest, widest)
def test_the_widest_logits(data: st.DataObject, high: float, low: float) -> None:
    assume(high != low)
    z = np.array([[high, low, 0.0]], dtype=np.float32)
    found, expected = both(z, data.draw(routings(3)), temperature=0.05, bias=None, profile=0)

    assert found is None or plain(found) == plain(expected)


@pytest.mark.parametrize("n_classes", [33, 150, MOST_CLASSES])
def test_many_classes(n_classes: int) -> None:
    laid_out = replace(routing(card(), None, [str(place) for place in range(n_classes)]), set_quantile=0.9)
    for z in np.random.default_rng(0).normal(scale=3, size=(50, 1, n_classes)).astype(np.float32):
        found, expected = both(z, laid_out, temperature=1.3, bias=None, profile=0)
        assert found is not None
        assert plain(found) == plain(expected)


def leads(found: Readout, expected: Readout) -> None:
    """All is as in the batch, but that no more than the leading classes are shown."""
    (shown,), (columns,) = found.shown, expected.shown
    assert N_LEADING <= len(shown) <= 2 * N_LEADING
    assert list(shown) == [f"label {column}" for column in columns[: len(shown)]]
    assert list(found.probabilities[0]) == list(expected.probabilities[0][: len(shown)])
    rest: Any = {"shown": (), "probabilities": ()}
    assert plain(found._replace(**rest)) == plain(expected._replace(**rest))


wide = st.integers(MOST_RANKED + 1, MOST_RANKED + 3000)
below_one = st.floats(0, 1, exclude_max=True)


@given(st.data(), wide, st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 3.0, 12.0]), temperatures)
def test_of_very_many_classes_those_that_lead_are_read_out_as_in_a_batch(
    data: st.DataObject, n_classes: int, seed: int, scale: float, temperature: float
) -> None:
    random = np.random.default_rng(seed)
    z = random.normal(scale=scale, size=(1, n_classes)).astype(np.float32)
    z = z.round(data.draw(st.integers(0, 3))) if data.draw(st.booleans()) else z
    quantile = data.draw(st.none() | below_one) if data.draw(st.booleans()) else random.random(n_classes)
    routes = {f"label {place}": f"route {place % 7}" for place in range(n_classes)} if data.draw(st.booleans()) else {}
    labels = [f"label {place}" for place in range(n_classes)]
    laid_out = replace(
        routing(card(threshold=data.draw(st.none() | st.floats(0, 1)), routes=routes), None, labels),
        clarify=data.draw(st.integers(0, 4)),
        gate=data.draw(st.none() | st.floats(-60, 60)),
        set_quantile=quantile,
        calibrated=data.draw(st.booleans()),
    )
    found, expected = both(z, laid_out, temperature=temperature, bias=None, profile=0)
    whole, _ = both(z, laid_out, temperature=temperature, bias=None, profile=0, shows_all=True)

    assert (found is None) is (whole is None)
    if found is not None and whole is not None:
        leads(found, expected)
        assert plain(whole) == plain(expected)


def laid_out_wide(n_classes: int, quantile: float | NDArray[np.float64] | None = 0.9) -> Routing:
    return replace(routing(card(), None, [f"label {place}" for place in range(n_classes)]), set_quantile=quantile)


def test_the_short_way_of_very_many_classes_is_taken_where_few_lead() -> None:
    random, n_asked = np.random.default_rng(0), 0
    for z in random.normal(scale=12, size=(50, 1, 10_000)).astype(np.float32):
        found, expected = both(z, laid_out_wide(10_000), temperature=1.3, bias=None, profile=0)
        assert found is not None
        leads(found, expected)
        n_asked += expected.action == [Action.CLARIFY]
    assert 0 < n_asked < 50


@pytest.mark.parametrize("n_alike", [1, N_LEADING, N_LEADING + 1, 2 * N_LEADING, 2 * N_LEADING + 1, 3000])
def test_classes_as_probable_as_the_last_that_leads(n_alike: int) -> None:
    z = np.random.default_rng(1).normal(size=(1, 3000)).astype(np.float32)
    z[0, 700 : 700 + n_alike] = 40.0
    found, expected = both(z, laid_out_wide(3000, None), temperature=1.0, bias=None, profile=0)

    if n_alike > 2 * N_LEADING:
        assert found is None
    else:
        assert found is not None
        leads(found, expected)


@pytest.mark.parametrize("per_class", [False, True])
def test_a_set_that_those_who_lead_do_not_hold_goes_the_long_way(*, per_class: bool) -> None:
    z = np.random.default_rng(2).normal(scale=0.1, size=(1, 3000)).astype(np.float32)
    quantile = np.where(np.arange(3000) == z.argmin(), 0.99999, 1e-9) if per_class else 0.9
    found, expected = both(z, laid_out_wide(3000, quantile), temperature=1.0, bias=None, profile=0)

    assert found is None
    assert expected.sets is not None
    if per_class:
        # Behind the first there is only the last.
        assert expected.sets[0] == [f"label {z.argmax()}", f"label {z.argmin()}"]
    else:
        assert len(expected.sets[0]) > 2 * N_LEADING


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_very_many_classes_of_which_one_is_not_finite_go_the_long_way(bad: float) -> None:
    z = np.random.default_rng(3).normal(scale=12, size=(1, 3000)).astype(np.float32)
    z[0, 17] = bad
    found, expected = both(z, laid_out_wide(3000), temperature=1.0, bias=None, profile=0)

    assert found is None
    assert expected.finite == [False]


def test_there_is_no_short_way_where_it_would_not_be_the_same() -> None:
    laid_out = routing(card(), None, ["a", "b"])

    def fits(**changed: Any) -> bool:
        given: dict[str, Any] = {
            "activation": "softmax",
            "temperature": 1.0,
            "bias": None,
            "routing": laid_out,
            "names": ["a", "b"],
            "with_energy": True,
        }
        return OneRow.fitting(**given | changed) is not None

    assert fits()
    assert fits(routing=replace(laid_out, set_quantile=0.5, set_score=mass_before))
    assert not fits(activation="sparsemax")
    assert not fits(temperature=np.ones(2))
    assert not fits(names=["a"])
    assert not fits(names=["a"] * (MOST_CLASSES + 1))
    assert not fits(names=["a"] * MOST_RANKED)
    assert fits(names=["a"] * (MOST_RANKED + 1))
    assert fits(names=["a"] * (MOST_RANKED + 1), routing=replace(laid_out, set_quantile=0.99))
    # A class may be in every set, however far behind.
    assert not fits(names=["a"] * (MOST_RANKED + 1), routing=replace(laid_out, set_quantile=1.0))
    assert fits(routing=replace(laid_out, set_quantile=np.array([0.5, 1.0])))
    assert not fits(routing=replace(laid_out, set_quantile=0.5, set_score=least_ambiguous))
