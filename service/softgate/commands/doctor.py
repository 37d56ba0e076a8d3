"""`softgate doctor`: what keeps `serve` from working on this machine, with these settings. Starts no server."""

import difflib
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from softgate.commands.check import show, show_counts
from softgate.commands.screen import amount, console, plain
from softgate.errors import SoftgateError, StartupFailed
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import CARD, find_bundles, read_bundle
from softgate.settings import PREFIX, Settings, Stated, read_settings, stated, unknown_variables
from softgate.web import auth, server, sockets
from softgate.web.nodelay import has_nodelay
from softgate.web.tokens import Token, read_tokens
from softgate.workbench.answers import FAILED, OK, WARNING, Line
from softgate.workbench.report.words import counted

LEAST_FREE_BYTES = 64 * 10**6
ORIGINS = {"default": "dim", "environment": "bold", "option": "bold"}


def run(folder: Path | None, *, host: str | None, port: int | None, workers: int | None, state_dir: Path | None) -> int:
    """Returns the exit code: 1 where a line failed. None leaves a setting to the environment, as for `serve`."""
    given = {"host": host, "port": port, "workers": workers, "state_dir": state_dir}
    counts: Counter[str] = Counter()
    for line in _lines(folder, given):
        show(line)
        counts[line.status] += 1
    show_counts(counts)
    return int(counts[FAILED] > 0)


def _lines(folder: Path | None, given: Mapping[str, object]) -> Iterator[Line]:
    try:
        settings = read_settings(**given)
    except StartupFailed as exc:
        # Nothing else can be said without them.
        yield Line("settings", FAILED, str(exc), "docs/reference.md lists what each may be.")
        return
    _show(found := stated(settings, **given))
    yield from _settings(found)
    yield _port(settings)
    yield _nodelay(settings)
    yield _threads(settings)
    yield _temporary()
    yield _state(settings)
    served: set[str] = set()
    for line, name in () if folder is None else _models(folder):
        served.add(name)
        yield line
    yield from _tokens(settings, served)


def _show(found: Sequence[Stated]) -> None:
    table = Table("setting", "value", "from", box=None, header_style="bold", padding=(0, 1))
    for each in found:
        style = ORIGINS[each.origin]
        table.add_row(Text(each.variable, style), Text(plain(each.value), style, overflow="fold"), Text(each.origin))
    console.print(table)
    console.print()


def _settings(found: Sequence[Stated]) -> Iterator[Line]:
    n = Counter(each.origin for each in found)
    unknown = unknown_variables()
    for name in unknown:
        near = difflib.get_close_matches(name, [each.variable for each in found], n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Unset it."
        yield Line("settings", WARNING, f"{name} is no setting, and changes nothing.", remedy)
    if not unknown:
        said = f"{n['default']} by default, {n['environment']} from the environment, {n['option']} by option."
        yield Line("settings", OK, said)


def _port(settings: Settings) -> Line:
    try:
        with sockets.bind(settings.host, settings.port) as listener:
            address = sockets.url(listener)
    except StartupFailed as exc:
        return Line("port", FAILED, str(exc), "Stop what listens there, or choose others: --host, --port.")
    return Line("port", OK, f"{address} is free." if settings.port else f"Any free one: {address} now, say.")


def _nodelay(settings: Settings) -> Line:
    try:
        on = has_nodelay(alone=settings.workers == 1)
    except (OSError, StartupFailed, TimeoutError) as exc:
        return Line("TCP_NODELAY", FAILED, f"No connection on loopback: {exc}.", "softgate needs a working loopback.")
    if not on:
        remedy = "Report it with the versions of Python, uvicorn and uvloop."
        return Line("TCP_NODELAY", FAILED, "Off on a connection accepted here: each request may take 44 ms.", remedy)
    return Line("TCP_NODELAY", OK, "On, seen on a connection accepted here.")


def _threads(settings: Settings) -> Line:
    cpus = usable_cpus()
    threads = server.threads(settings)
    said = f"{counted(settings.workers, 'worker')} x {counted(threads, 'thread')} on {counted(cpus, 'CPU')}"
    if settings.workers * threads > cpus:
        remedy = f"Threads beyond the quota are throttled, not run: at most {cpus} workers, and {PREFIX}THREADS=0."
        return Line("threads", WARNING, f"{said}, by quota and affinity.", remedy)
    return Line("threads", OK, f"{said}, by quota and affinity.")


def _temporary() -> Line:
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        return Line("temp space", WARNING, f"None: {exc.strerror}.", "serve needs none; bench does: set TMPDIR.")
    if free < LEAST_FREE_BYTES:
        remedy = f"serve needs none; bench wants {amount(LEAST_FREE_BYTES)}: set TMPDIR."
        return Line("temp space", WARNING, f"{folder} has {amount(free)} left.", remedy)
    return Line("temp space", OK, f"{folder} has {amount(free)} left.")


def _state(settings: Settings) -> Line:
    folder = settings.state_dir
    if folder is None:
        return Line("state", OK, f"{PREFIX}STATE_DIR is not set: drift alarms end with the server.")
    # What is missing is made when the server starts.
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        remedy = f"Give it to user {os.geteuid()}, or name another: --state-dir."
        return Line("state", FAILED, f"{there} is no folder that this user may write to.", remedy)
    if (free := shutil.disk_usage(there).free) < LEAST_FREE_BYTES:
        return Line("state", WARNING, f"{there} has {amount(free)} left.", "Make room: alarms would be forgotten.")
    return Line("state", OK, f"{folder} can be written, {amount(free)} left.")


def _models(folder: Path) -> Iterator[tuple[Line, str]]:
    """A line for each model folder, and the model's name where it can be served."""
    folders = [folder] if (folder / CARD).exists() else sorted(path.parent for path in folder.glob(f"*/{CARD}"))
    n_failed = 0
    for each in folders:
        line, name = _model(each)
        n_failed += line.status == FAILED
        yield line, name
    if n_failed == 0:
        # What concerns all of them: that there are some, and that their names differ.
        try:
            find_bundles(folder)
        except SoftgateError as exc:
            yield Line("models", FAILED, str(exc), "Name a model folder, or a folder of model folders."), ""


def _model(folder: Path) -> tuple[Line, str]:
    try:
        bundle = read_bundle(folder)
    except SoftgateError as exc:
        return Line("model", FAILED, str(exc), f"softgate check {folder} says more."), ""
    said = f"{bundle.name} {bundle.version}: {counted(len(bundle.labels), 'label')}, sha256 {bundle.model_sha256[:12]}"
    if bundle.calibration is None:
        remedy = f"softgate calibrate {folder} --data ROWS; until then its probabilities promise nothing."
        return Line("model", WARNING, f"{said}, no calibration.", remedy), bundle.name
    return Line("model", OK, f"{said}, calibration {bundle.calibration.id}."), bundle.name


def _tokens(settings: Settings, served: Collection[str]) -> Iterator[Line]:
    """`served`: the models that would be; empty where that is not known."""
    try:
        for host in (settings.host, *([settings.ops_host] if settings.ops_port else [])):
            auth.check_address(host, settings)
    except StartupFailed as exc:
        yield Line("tokens", FAILED, str(exc), "softgate token NAME --scope predict >> tokens.toml makes one.")
        return
    path = settings.tokens_file
    if path is None:
        yield _without_tokens(settings)
        return
    tokens = read_tokens(path)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Line(
            "tokens", FAILED, f"{path} can be written by others, who could let themselves in.", f"chmod go-w {path}"
        )
    for token in tokens:
        missing = sorted((token.models or frozenset()) - set(served or token.models or ()))
        if missing:
            said = f"{token.name} is for {', '.join(missing)}, which would not be served."
            yield Line("tokens", WARNING, said, "Correct its models, or serve them.")
    yield Line("tokens", OK, f"{path}: {', '.join(map(_told, tokens))}.")


def _without_tokens(settings: Settings) -> Line:
    if settings.allow_public:
        said = f"Nobody is asked for one on {settings.host}: {PREFIX}ALLOW_PUBLIC is true."
        remedy = f"Make sure that something else keeps strangers out, or set {PREFIX}TOKENS_FILE."
        return Line("tokens", WARNING, said, remedy)
    return Line("tokens", OK, f"None: only this machine reaches {settings.host}, and nobody on it is asked for one.")


def _told(token: Token) -> str:
    return f"{token.name} ({' '.join(sorted(token.scopes))})"
