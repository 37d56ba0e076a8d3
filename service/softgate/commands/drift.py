"""`softgate drift`: the drift report of a running server's models."""

import json
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from softgate.commands import running, screen
from softgate.commands.drift_screen import broken_rules, show
from softgate.commands.screen import plain
from softgate.errors import SoftgateError, UnknownModel
from softgate.policy.monitor.told import Report

DRIFTED = 4
# Of any number in a report; far more rows than a server ever counts.
_LARGEST = 10**18


def run(url: str | None, *, model: str | None, as_json: bool) -> int:
    """The exit code: DRIFTED where an alarm is on or a plain rule is broken. Raises SoftgateError."""
    base = running.base(url)
    reports = [_report(base, name) for name in ([model] if model is not None else _models(base))]
    if as_json:
        sys.stdout.write(as_text(reports))
    else:
        for report in reports:
            show(report, screen.console, base=base, wants_token=bool(running.credentials()))
    return DRIFTED if any(drifted(report) for report in reports) else 0


def drifted(report: Report) -> bool:
    return report.alarm or bool(broken_rules(report))


def as_text(told: Any) -> str:
    """JSON in ASCII: it suits any terminal, and nothing in it steers one."""
    return json.dumps(msgspec.to_builtins(told)) + "\n"


class _Named(msgspec.Struct):
    name: str


class _Models(msgspec.Struct):
    models: list[_Named]


def _models(base: str) -> Sequence[str]:
    found: _Models = _asked(f"{base}/v1/models", _Models)
    return [model.name for model in found.models]


def _report(base: str, model: str) -> Report:
    address = f"{base}/v1/models/{quote(model, safe='')}/drift"
    found: Report = _asked(address, Report)
    if found.model != model:
        raise _foreign(address, "it is of another model")
    if not _bounded(msgspec.to_builtins(found)):
        raise _foreign(address, f"it holds a number beyond {_LARGEST:.0e}")
    return found


def _asked(address: str, form: Any) -> Any:
    status, body = running.get(address, running.credentials())
    if status in (401, 403):
        raise SoftgateError(f"{address}: expected a token with the scope read in SOFTGATE_TOKEN; got status {status}.")
    if status == 404 and form is Report:
        raise UnknownModel(f"{address}: no such model is served there.")
    if status != 200:
        redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        raise SoftgateError(f"{address}: expected status 200; got {status}{redirect}.")
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _foreign(address, str(exc)) from exc


def _foreign(address: str, why: str) -> SoftgateError:
    return SoftgateError(f"{address}: expected a softgate server's answer; {plain(why)}.")


def _bounded(told: Any) -> bool:
    """Whether its numbers can be shown."""
    if isinstance(told, dict):
        return all(map(_bounded, told.values()))
    if isinstance(told, list):
        return all(map(_bounded, told))
    return not isinstance(told, int | float) or abs(told) <= _LARGEST
