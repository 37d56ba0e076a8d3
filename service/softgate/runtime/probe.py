"""The first load of a graph that nobody vouches for, in a process of its own: if it kills, it kills that."""

from collections.abc import Iterator
from pathlib import Path

from softgate.errors import GraphInvalid, ModelError
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
        (digest,) = contained("softgate.runtime.probe:load", str(bundle.folder), limits=limits)
    except ModelError as exc:
        # What the child raised names the folder; what ended the child does not know it.
        sentence = str(exc).removeprefix(f"{bundle.folder}: ")
        raise type(exc)(f"{bundle.folder}: {sentence}") from exc
    if digest != bundle.model_sha256:
        raise GraphInvalid(f"{bundle.folder}: model.onnx changed while it was read. Start again.")


def load(folder: str) -> Iterator[str]:
    """What the child does; yields the digest of the graph that it ran."""
    yield Model(read_bundle(Path(folder)), threads=1).bundle.model_sha256
