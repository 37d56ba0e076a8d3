"""A benchmark's figures on the screen: made-up ones, wide and narrow."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from openloops import open_loop
from softgate.commands.bench_screen import extent, short, show
from softgate.commands.bench_told import Setting, told
from softgate.workbench.bench.bench import LOADS, Comparison, Load, Measured, Turn
from softgate.workbench.bench.closed_loop import ClosedLoop
from softgate.workbench.bench.figures import Spread
from softgate.workbench.bench.knee import Knee
from softgate.workbench.bench.processes import Memory

SETTING = Setting(
    command="softgate bench models/toy --workers 2",
    date="2026-11-27 21:48+00:00",
    machine="A processor, 2 CPUs, Linux 6.1",
    versions={"softgate": "0.1.0", "Python": "3.11.7", "onnxruntime": "1.32.0", "uvicorn": "0.54.0", "wrk": "4.1.0"},
    model="toy 1",
    kind="text",
    n_labels=4,
    rows="16 golden rows",
    workers=2,
    rounds=3,
    seconds=2.0,
)


def turn(rate: float, *, scale: float = 1.0, bare: bool = False, client_cpu: float = 0.2) -> Turn:
    closed = ClosedLoop(
        requests=round(rate * 2),
        seconds=2.0,
        p50_us=100 * scale,
        p90_us=200 * scale,
        p99_us=400 * scale,
        p999_us=800 * scale,
        refused=0,
        broken=0,
        timeouts=0,
        client_cpu=client_cpu,
    )
    return Turn(closed, 50.0 if bare else 456.0 * scale, None if bare else 3.25)


def measured(*, scale: float = 1.0) -> Measured:
    ours = [turn(rate, scale=scale) for rate in (8000, 12345, 9000)]
    bare = [turn(rate, bare=True) for rate in (20_000, 24_690, 30_000)]
    runs = [open_loop(p50_us=p50 * scale, p99_us=2000 * scale) for p50 in (900.0, 1100.0, 1000.0)]
    loads = [Load(share, share * 1460, runs, []) for share in LOADS[:2]]
    return Measured(
        answer_bytes=5923,
        closed=[Comparison(connections, ours, bare) for connections in (1, 16, 1000)],
        generator=open_loop(answered_per_second=12_596.0, client_us_per_request=15.0),
        bound_us=5000.0 * scale,
        knee=Knee(1460.0, at_least=False),
        loads=[*loads, Load(LOADS[2], LOADS[2] * 1460, [], ["the client was at work 99% of the time"] * 3)],
        memory=[Memory(156 * 2**20, 133 * 2**20), Memory(150 * 2**20, 133 * 2**20)],
    )


def lines(figures: Measured, *, terminal: bool = True, setting: Setting = SETTING) -> Sequence[str]:
    screen = Console(file=StringIO(), width=80, force_terminal=terminal, color_system=None)
    show(setting, figures, screen)
    assert isinstance(screen.file, StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.354, "0.35"),
        (1, "1.0"),
        (9.94, "9.9"),
        (9.96, "10"),
        (999.4, "999"),
        (999.6, "1.0k"),
        (9949, "9.9k"),
        (9951, "10k"),
        (46_400, "46k"),
        (1_234_567, "1,235k"),
    ],
)
def test_short_keeps_two_digits_or_three(value: float, shown: str) -> None:
    assert short(value) == shown


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(1100, 2000, "1.1-2.0k"), (384, 459, "384-459"), (900, 1200, "900-1.2k"), (7, 7.01, "7.0")],
)
def test_an_extent_says_its_unit_once_and_a_point_once(low: float, high: float, shown: str) -> None:
    assert extent(Spread(low, low, high)) == shown


def test_the_screen_says_where_and_what_and_how_well() -> None:
    shown = lines(measured())

    assert shown[0] == " softgate bench models/toy --workers 2"
    assert shown[1] == " 2026-11-27 21:48 UTC, A processor, 2 CPUs, Linux 6.1"
    text = " ".join(" ".join(shown).split())
    assert "toy 1: text, 4 labels; 16 golden rows, one a request, full answers of 5,923 bytes; 2 workers" in text
    assert "16 9,000 100 200 400 800 456 3.25 0.40x" in text
    assert "8.0-12k 100 200 400 800 456 3.2 0.30-0.50" in text
    assert "bare 24,690 100 200 400 800 50" in text
    assert "50% 730 1,000 1,500 2,000 3,000 50 none" in text
    assert "80% 1,168 3 of 3" in text
    assert "Knee: 1,460 requests/s, the highest rate with p99 within 5.0 ms." in text
    assert "12,596 requests/s against the bare answer, 15 µs of CPU each" in text
    assert "Memory per worker: at most RSS 156 MiB, PSS 133 MiB." in text


@pytest.mark.parametrize("scale", [1, 10, 1000, 100_000 / 800])
def test_the_screen_fits_80_columns(scale: float) -> None:
    shown = lines(measured(scale=scale))

    assert max(map(len, shown)) <= 80
    assert "…" not in "".join(shown)


def test_in_a_pipe_a_sentence_is_one_line() -> None:
    shown = lines(measured(), terminal=False)

    (told_of,) = [line for line in shown if line.startswith("Generator of the open loop: ")]
    assert told_of.endswith("no time left.")


def test_a_terminal_without_unicode_gets_ascii() -> None:
    file = TextIOWrapper(BytesIO(), encoding="ascii")
    show(SETTING, measured(), Console(file=file, width=80, color_system=None))
    file.seek(0)

    assert "latency and CPU per request in us" in file.read()


def test_what_makes_the_figures_doubtful_is_said() -> None:
    calm = measured()
    slow = [turn(100, client_cpu=0.95)]
    doubtful = replace(
        calm,
        closed=[Comparison(1, slow, slow)],
        bound_us=1999.0,
        knee=Knee(1460.0, at_least=True),
        loads=[*calm.loads, Load(LOADS[2], 1168.0, [open_loop(answered=97)], [])],
    )
    text = " ".join(" ".join(lines(doubtful)).split())

    assert "too busy" not in " ".join(lines(calm))
    assert "wrk had no CPU time left, connections 1:" in text
    assert "At 10% of the knee p99 was above its bound: this machine is too busy to tell where it is." in text
    assert "Of 700 requests below the knee 3 had no answer of status 200." in text
    assert "p99.9 is their slowest" in text
    assert "Knee: at least 1,460 requests/s" in text


@pytest.mark.parametrize(
    ("at_least", "why"), [(True, "the generator was the bottleneck at every rate"), (False, "not at any rate")]
)
def test_no_knee_is_said_with_its_reason(at_least: bool, why: str) -> None:
    shown = lines(replace(measured(), knee=Knee(None, at_least=at_least), loads=[]))

    assert any(line.startswith(" Knee: none, p99 within 5.0 ms: ") and why in line for line in shown)
    assert not any("Open loop" in line for line in shown)


def test_what_is_told_to_machines_holds_each_round_and_what_was_void() -> None:
    found = told(SETTING, measured())

    assert [each["connections"] for each in found["closed_loop"]] == [1, 16, 1000]
    assert found["closed_loop"][0]["of_bare"] == {"median": 0.4, "low": 0.3, "high": 0.5}
    assert len(found["closed_loop"][0]["softgate"]["rounds"]) == 3
    assert found["closed_loop"][0]["bare"]["batch_rows"] is None
    assert [each["of_knee"] for each in found["open_loop"]] == list(LOADS)
    assert found["open_loop"][2]["p99_us"] is None
    assert found["open_loop"][2]["void"] == ["the client was at work 99% of the time"] * 3
    assert found["knee"] == {"rate": 1460.0, "at_least": False, "p99_bound_us": 5000.0}
