"""Bundles read anew and tried in a process of their own, before any worker has to do with them."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softgate.errors import ReloadFailed, SoftgateError, UnknownModel
from softgate.policy.catalogue import Unloaded
from softgate.runtime.contained import Limits
from softgate.runtime.pinned import bundle_digest, verify
from softgate.runtime.probe import probe
from softgate.runtime.repository import Bundle, find_bundles
from softgate.web.children import Children
from softgate.web.reloads import RELOAD, UNLOAD

# Folders between the model folder and a file of one of its versions.
DEEPEST = 2


@dataclass(frozen=True, slots=True)
class Lineup:
    """What is served, and what is not though it may lie in the folder: by name."""

    bundles: Sequence[Bundle]
    unloaded: Mapping[str, Unloaded]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What orders come to when they are carried out together."""

    all_read: bool
    """The folder is read anew, but for what is unloaded."""
    read: frozenset[str]
    unloaded: frozenset[str]


def wanted(orders: Sequence[str]) -> Wanted:
    """Of a model, its last order counts. One for all models is for those that nobody has unloaded."""
    last = {model: verb for verb, _, model in (order.partition(" ") for order in orders)}
    all_read = last.pop("", None) == RELOAD
    read, unloaded = (frozenset(model for model, verb in last.items() if verb == one) for one in (RELOAD, UNLOAD))
    return Wanted(all_read, read, unloaded)


def staged(folder: Path, current: Lineup, orders: Wanted, *, pinned: str | None = None) -> Lineup:
    """
    What is to be served in place of `current`; `folder` is read only where something is to be read.

    Raises SoftgateError, DigestMismatch of what is not as `pinned` says.
    """
    kept = {bundle.name: bundle for bundle in current.bundles if bundle.name not in orders.unloaded}
    gone = [bundle for bundle in current.bundles if bundle.name in orders.unloaded]
    unloaded = dict(current.unloaded) | {one.name: Unloaded(one.version, bundle_digest(one)) for one in gone}
    unloaded = {name: was for name, was in unloaded.items() if name not in orders.read}
    if not (orders.all_read or orders.read):
        return Lineup(list(kept.values()), unloaded)
    found = {bundle.name: bundle for bundle in _read(folder)}
    missing = orders.read - found.keys()
    if missing:
        raise UnknownModel(
            f"{folder}: expected models named {', '.join(sorted(missing))}; there are {', '.join(found)}."
        )
    if orders.all_read:
        bundles = [bundle for name, bundle in found.items() if name not in unloaded]
    else:
        bundles = [bundle for _, bundle in sorted((kept | {name: found[name] for name in orders.read}).items())]
    verify(bundles, pinned, others={name: was.digest for name, was in unloaded.items()})
    return Lineup(bundles, unloaded)


def _read(folder: Path) -> Sequence[Bundle]:
    """Raises ReloadFailed where the folder changes meanwhile: what was read may be half the old, half the new."""
    before = fingerprint(folder)
    found = find_bundles(folder)
    if fingerprint(folder) != before:
        raise ReloadFailed(f"{folder}: changed while it was read; write beside it, then rename.")
    return found


def changed(bundles: Sequence[Bundle], current: Sequence[Bundle]) -> Sequence[Bundle]:
    """Those that are not served as they are."""
    served = {bundle_digest(bundle) for bundle in current}
    return [bundle for bundle in bundles if bundle_digest(bundle) not in served]


class Trial:
    """The first load of graphs that nobody vouches for, under way in a child."""

    def __init__(self, children: Children, bundles: Sequence[Bundle], limits: Limits) -> None:
        self._reading, writing = os.pipe()

        def run() -> int:
            try:
                for bundle in bundles:
                    probe(bundle, limits)
            except SoftgateError as exc:
                os.write(writing, str(exc).encode(errors="backslashreplace")[: 2**12])
                return 1
            return 0

        self.process = children.fork(run, orphaned=lambda: os._exit(1))
        os.close(writing)

    def end(self) -> None:
        """Before its time."""
        os.kill(self.process, signal.SIGKILL)

    def reason(self, exit_code: int) -> str | None:
        """Why it failed, once the child has ended; None: it did not."""
        said = os.read(self._reading, 2**12).decode(errors="replace")
        os.close(self._reading)
        return None if exit_code == 0 else said or f"The trial of the graphs ended with exit code {exit_code}."


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int, int]]:
    """What changes when a file of the folder does, links followed: path, inode, size and time of each."""
    return frozenset(_entries(folder))


def _entries(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        if len(Path(parent).relative_to(folder).parts) == DEEPEST:
            # Nothing is served from below, and a link may lead back.
            folders.clear()
        for name in names:
            path = os.path.join(parent, name)
            try:
                found = os.stat(path)
            except OSError:
                continue
            yield path, found.st_ino, found.st_size, found.st_mtime_ns
