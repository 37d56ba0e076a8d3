"""The first load of a graph that nobody vouches for, in a process of its own: if it kills, it kills that."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from softgate.errors import GraphInvalid, ModelError
from softgate.runtime.calibration import digests
from softgate.runtime.contained import Limits, contained
from softgate.runtime.repository import Bundle, Model, read_bundle


def probe(bundle: Bundle, limits: Limits) -> None:
    """
    Load and run the bundle's graph once, in a child that the limits hold.

    A calibration records the digest of the graph it was made with: that one has been loaded and run, and is not probed.
    Raises ModelError.
    """
    if bundle.calibration is not None:
        return
    try:
        (ran,) = contained("softgate.runtime.probe:load", str(bundle.folder), limits=limits)
    except ModelError as exc:
        # What the child raised names the folder; what ended the child does not know it.
        sentence = str(exc).removeprefix(f"{bundle.folder}: ")
        raise type(exc)(f"{bundle.folder}: {sentence}") from exc
    wanted = digests(bundle.model)
    changed = [name for name in sorted(wanted.keys() | ran.keys()) if ran.get(name) != wanted.get(name)]
    if changed:
        raise GraphInvalid(f"{bundle.folder}: {', '.join(changed)} changed while the graph was tried. Start again.")


def load(folder: str) -> Iterator[Mapping[str, str]]:
    """What the child does; yields the digests of the files that it ran."""
    yield digests(Model(read_bundle(Path(folder)), threads=1).bundle.model)
