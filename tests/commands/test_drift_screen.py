"""What `softgate drift` and `softgate replay --drift` print of a report."""

import re
import subprocess
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from drifting import drifted, model
from softgate.commands.drift import drifted as is_drifted
from softgate.commands.drift_screen import show
from softgate.commands.drift_tables import sparkline
from softgate.policy.monitor.board import watched
from softgate.policy.monitor.report import describe
from softgate.policy.monitor.told import Report, Rule
from softgate.runtime.repository import read_bundle


def printed(
    report: Report,
    *,
    width: int = 80,
    encoding: str = "utf-8",
    base: str | None = None,
    wants_token: bool = False,
) -> str:
    stream = TextIOWrapper(BytesIO(), encoding=encoding)
    show(report, Console(file=stream, width=width, color_system=None), base=base, wants_token=wants_token)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int, encoding: str) -> None:
    report = drifted(tmp_path / "toy")
    (window,) = report.windows
    # As many rows as a busy day has, an alarm with its time, and the address of a server.
    report = replace(
        report,
        windows=[replace(window, window="24h", rows=123_456_789), replace(window, window="1h")],
        detectors=[replace(state, raised_at=1.7e9, rows=123_456_789) for state in report.detectors],
        updated_at=1.7e9,
    )

    lines = printed(report, width=width, encoding=encoding, base="http://127.0.0.1:8080").splitlines()

    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any("…" in line or "?" in line for line in lines if "Looked" not in line)


def test_each_window_is_shown_with_what_the_report_says_of_it(tmp_path: Path) -> None:
    report = drifted(tmp_path / "toy")
    measure = report.windows[0].measures["label_confidence"]
    shift, psi, ks = (measure.statistics[name] for name in ("mean_shift", "psi", "ks"))
    assert shift.p_value is not None
    assert shift.p_value < 0.001

    text = printed(replace(report, updated_at=1.7e9))

    assert ", as of 2023-11-14 22:13:20 UTC" in text
    assert re.search(rf"all +800 +{measure.mean:.3f} ± {measure.standard_deviation:.3f} +[▁-█]+", text)
    told = rf"all +{shift.value:+.3f} +< 0\.001 +{psi.value:.3f} +{psi.floor:.3f} +< 0\.001 +{ks.value:.3f}"
    assert re.search(told, text)
    falling = report.detectors[0]
    assert re.search(rf"falling +\S+ +{100 * falling.evidence:.0f}% +{falling.rows} +{falling.alarms} *\n", text)
    assert f"{falling.budget:,.0f}, which raises the alarm" in text


def test_an_estimate_is_never_called_accuracy_without_more(tmp_path: Path) -> None:
    report = drifted(tmp_path / "toy")
    (window,) = report.windows
    calm = {name: replace(one, valid=True, why_not=None) for name, one in window.estimated_accuracy.items()}

    doubted, trusted = printed(report), printed(replace(report, windows=[replace(window, estimated_accuracy=calm)]))

    assert "Accuracy estimated without labels" in doubted
    assert "not to be trusted (alarm: confidence falling" in doubted
    assert re.search(r"average confidence: \d+\.\d%, valid", trusted)


def test_a_terminal_without_unicode_gets_plain_characters(tmp_path: Path) -> None:
    report = drifted(tmp_path / "toy")
    (window,) = report.windows
    exploded = replace(window, labels=replace(window.labels, exploded=["naïve"]))

    text = printed(replace(report, windows=[exploded]), encoding="ascii")

    assert re.search(r"all +800 +0\.\d{3} \+- 0\.\d{3} +[._=+*#@-]", text)
    assert "na?ve" in text


def test_what_a_server_says_steers_no_terminal_and_floods_none(tmp_path: Path) -> None:
    report = drifted(tmp_path / "toy")
    (window,) = report.windows
    flood = "\x1b[31m\x9b\u202e\n" + "x" * 100_000
    rule = Rule(f"{flood}_above", 2.0, 1.0, broken=True)
    estimates = {flood: replace(next(iter(window.estimated_accuracy.values())), why_not=flood)}
    hostile = replace(
        report,
        model=flood,
        version=flood,
        calibration=flood,
        detectors=[replace(state, detector=flood) for state in report.detectors],
        windows=[
            replace(
                window,
                window="1h",
                rules=[rule],
                labels=replace(window.labels, vanished=[flood] * 100),
                estimated_accuracy=estimates,
            ),
            replace(window, window=flood),
        ],
    )

    text = printed(hostile)

    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) < 10_000
    assert "and 92 more" in text


def test_the_line_to_paste_does_nothing_but_acknowledge(tmp_path: Path) -> None:
    report = replace(drifted(tmp_path / "toy"), model="toy; echo a '$(echo b)` #\n/../c")
    base = "http://127.0.0.1:8080/$(echo d);echo e"

    text = printed(report, base=base)

    pasted = f'curl() {{ printf "%s\\n" "$@"; }}\n{text[text.index("curl") :]}'
    ended = subprocess.run(["/bin/sh", "-c", pasted], capture_output=True, text=True, check=False, timeout=10)
    model = "toy%3B%20echo%20a%20%27%24%28echo%20b%29%60%20%23%0A%2F..%2Fc"
    address = f"{base}/v1/models/{model}/drift/acknowledge"
    assert ended.stdout.splitlines() == ["-d", "{}", "-H", "Content-Type: application/json", address]
    assert ended.stderr == ""


def test_where_tokens_are_wanted_the_line_to_paste_shows_one_that_the_screen_does_not(tmp_path: Path) -> None:
    text = printed(drifted(tmp_path / "toy"), base="http://127.0.0.1:8080", wants_token=True)

    assert "Acknowledge, with a token of the scope admin:" in text
    pasted = f'SOFTGATE_TOKEN="it s"\ncurl() {{ printf "%s\\n" "$@"; }}\n{text[text.index("curl") :]}'
    ended = subprocess.run(["/bin/sh", "-c", pasted], capture_output=True, text=True, check=False, timeout=10)
    assert ended.stdout.splitlines()[4:6] == ["-H", "Authorization: Bearer it s"]
    assert ended.stderr == ""


def test_without_detectors_nobody_is_told_that_nothing_drifts(tmp_path: Path) -> None:
    text = printed(replace(drifted(tmp_path / "toy"), detectors=[], alarm=False))

    assert "run softgate calibrate" in text
    assert "No drift" not in text


def test_a_broken_rule_is_named_and_counts_as_drift(tmp_path: Path) -> None:
    report = drifted(tmp_path / "toy")
    (window,) = report.windows
    rule = Rule("mean_confidence_below", 0.15, 0.2, broken=True)
    quiet = replace(report, alarm=False, detectors=[replace(state, alarm=False) for state in report.detectors])
    broken, kept = (
        replace(quiet, windows=[replace(window, rules=[replace(rule, broken=is_broken)])])
        for is_broken in (True, False)
    )

    text = printed(broken)

    assert is_drifted(broken)
    assert not is_drifted(kept)
    assert "Out of bounds mean confidence" in text
    assert "mean confidence 0.150, wanted at least 0.200" in text
    assert "No drift" not in text


def test_a_sparkline_has_a_block_for_each_bin_and_none_for_an_empty_one() -> None:
    # Of 1011 rows: 7 ln(1 + 1000 / 1011) / ln 1001 = 0.70, of ten 2.42, of a thousand 6.99.
    assert sparkline([0, 1, 10, 1000, 0], unicode=True) == " ▂▃█"
    assert sparkline([0, 0, 0], unicode=True) == ""


def test_a_report_without_rows_is_shown(tmp_path: Path) -> None:
    report = describe(watched(read_bundle(model(tmp_path / "toy"))), [], updated_at=0.0)

    assert "No rows yet" in printed(report)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
