"""`softgate drift`: the drift report of a running server's models."""

import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from softgate.commands import running, screen
from softgate.commands.drift_screen import show
from softgate.commands.screen import plain
from softgate.errors import SoftgateError, UnknownModel
from softgate.policy.monitor.told import Report

DRIFTED = 4


def run(url: str | None, *, model: str | None, as_json: bool) -> int:
    """The exit code: DRIFTED where an alarm is on or a plain rule is broken. Raises SoftgateError."""
    base = running.base(url)
    reports = [_report(base, name) for name in ([model] if model is not None else _models(base))]
    if as_json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
    else:
        for report in reports:
            show(report, screen.console, base=base)
    return DRIFTED if any(drifted(report) for report in reports) else 0


def drifted(report: Report) -> bool:
    return report.alarm or any(rule.broken for window in report.windows for rule in window.rules)


class _Named(msgspec.Struct):
    name: str


class _Models(msgspec.Struct):
    models: list[_Named]


def _models(base: str) -> Sequence[str]:
    found: _Models = _asked(f"{base}/v1/models", _Models)
    return [model.name for model in found.models]


def _report(base: str, model: str) -> Report:
    found: Report = _asked(f"{base}/v1/models/{quote(model, safe='')}/drift", Report)
    return found


def _asked(address: str, form: Any) -> Any:
    status, body = running.get(address)
    if status == 404 and form is Report:
        raise UnknownModel(f"{address}: no such model is served there.")
    if status != 200:
        raise SoftgateError(f"{address}: expected status 200; got {status}.")
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise SoftgateError(f"{address}: expected a softgate server's answer; {plain(str(exc))}.") from exc
