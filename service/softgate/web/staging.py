"""Bundles read anew and tried in a process of their own, before any worker has to do with them."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from softgate.errors import SoftgateError, UnknownModel
from softgate.runtime.contained import Limits
from softgate.runtime.pinned import bundle_digest
from softgate.runtime.probe import probe
from softgate.runtime.repository import Bundle, find_bundles
from softgate.web.children import Children

Find = Callable[[], Sequence[Bundle]]


def staged(folder: Path, current: Sequence[Bundle], models: set[str] | None) -> Sequence[Bundle]:
    """
    The bundles of `folder`, but for models not in `models` those that are served now; None: all of the folder.

    Raises SoftgateError.
    """
    found = find_bundles(folder)
    if models is None:
        return found
    read = {bundle.name: bundle for bundle in found}
    missing = models - read.keys()
    if missing:
        raise UnknownModel(
            f"{folder}: expected models named {', '.join(sorted(missing))}; there are {', '.join(read)}."
        )
    kept = {bundle.name: bundle for bundle in current}
    return [bundle for _, bundle in sorted((kept | {name: read[name] for name in models}).items())]


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
                os.write(writing, str(exc).encode()[: 2**12])
                return 1
            return 0

        self.process = children.fork(run, orphaned=lambda: os._exit(1))
        os.close(writing)

    def reason(self, exit_code: int) -> str | None:
        """Why it failed, once the child has ended; None: it did not."""
        said = os.read(self._reading, 2**12).decode(errors="replace")
        os.close(self._reading)
        return None if exit_code == 0 else said or f"The trial of the graphs ended with exit code {exit_code}."


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int, int]]:
    """What changes when a file of the folder does, links followed: path, inode, size and time of each."""
    return frozenset(_entries(folder))


def _entries(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = os.path.join(parent, name)
            try:
                found = os.stat(path)
            except OSError:
                continue
            yield path, found.st_ino, found.st_size, found.st_mtime_ns
