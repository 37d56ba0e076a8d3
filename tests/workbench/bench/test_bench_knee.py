import pytest
from hypothesis import given
from hypothesis import strategies as st

from openloops import open_loop
from softgate.workbench.bench.knee import Knee, Verdict, bound_us, judge, search


@pytest.mark.parametrize(("idle", "bound"), [(100, 5000), (1000, 5000), (2000, 10_000)])
def test_the_bound_is_five_times_the_idle_median_and_five_milliseconds_at_least(idle: float, bound: float) -> None:
    assert bound_us(idle) == bound


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (open_loop(p99_us=5000), Verdict.WITHIN),
        (open_loop(p99_us=5001), Verdict.ABOVE),
        (open_loop(errors=1), Verdict.ABOVE),
        (open_loop(answered=99), Verdict.ABOVE),
        (open_loop(client_busy=0.95), Verdict.VOID),
        (open_loop(p99_us=50_000, lateness_p99_us=30_000), Verdict.VOID),
    ],
)
def test_a_run_is_judged_by_its_p99_its_answers_and_its_client(run: object, verdict: Verdict) -> None:
    assert judge(run, 5000) is verdict  # type: ignore[arg-type]


@given(st.floats(100, 900))
def test_bisection_finds_a_sharp_knee(true: float) -> None:
    found = search(lambda rate: Verdict.WITHIN if rate <= true else Verdict.ABOVE, low=100, high=900, steps=6)

    assert found.rate is not None
    assert found.rate <= true
    # Where the highest rate is within the bound, no rate is known that is not.
    assert found.at_least is (true >= 900)
    assert true - found.rate <= 800 / 2**6


def test_a_rate_that_fails_once_is_tried_again() -> None:
    tried: list[float] = []

    def probe(rate: float) -> Verdict:
        tried.append(rate)
        return Verdict.ABOVE if tried.count(rate) == 1 else Verdict.WITHIN

    assert search(probe, low=1, high=2) == Knee(2, at_least=True)
    assert tried == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("verdicts", "rate"),
    [
        ([Verdict.VOID, Verdict.VOID, Verdict.WITHIN], 2.0),
        ([Verdict.VOID, Verdict.ABOVE, Verdict.WITHIN], 2.0),
        ([Verdict.ABOVE, Verdict.ABOVE, Verdict.WITHIN], None),
        ([Verdict.VOID, Verdict.ABOVE, Verdict.VOID, Verdict.WITHIN], None),
    ],
)
def test_two_late_runs_settle_a_rate_and_three_of_any_kind(verdicts: list[Verdict], rate: float | None) -> None:
    left = iter(verdicts)

    assert search(lambda _: next(left, Verdict.WITHIN), low=1, high=2, halvings=0).rate == rate


def test_a_client_at_its_end_makes_the_knee_a_least() -> None:
    found = search(lambda rate: Verdict.WITHIN if rate <= 500 else Verdict.VOID, low=100, high=900, steps=1)

    assert found == Knee(500, at_least=True)


def test_the_lowest_rate_is_halved_until_it_holds() -> None:
    tried: list[float] = []

    def probe(rate: float) -> Verdict:
        tried.append(rate)
        return Verdict.WITHIN if rate <= 60 else Verdict.ABOVE

    found = search(probe, low=200, high=900, steps=2)

    assert found == Knee(50, at_least=False)
    # What lies above the first rate is above the bound too, and is not tried.
    assert tried == [200, 200, 100, 100, 50, 75, 75, 62.5, 62.5]


@pytest.mark.parametrize(("verdict", "at_least"), [(Verdict.ABOVE, False), (Verdict.VOID, True)])
def test_without_a_rate_that_holds_there_is_no_knee(verdict: Verdict, at_least: bool) -> None:
    assert search(lambda _: verdict, low=100, high=900) == Knee(None, at_least=at_least)
