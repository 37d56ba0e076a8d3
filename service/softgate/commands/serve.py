"""`softgate serve`."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.text import Text

from softgate import __version__
from softgate.commands.screen import console
from softgate.runtime.contained import Limits
from softgate.runtime.pinned import verify
from softgate.runtime.probe import probe
from softgate.runtime.repository import find_bundles
from softgate.settings import handed_over, read_settings
from softgate.web import auth
from softgate.web.serving import Sockets, serve
from softgate.web.sockets import adopt, bind, held, url


def run(folder: Path, *, descriptor: int | None, **given: object) -> int:
    """
    Until told to stop; returns the exit code.

    `descriptor`: of a socket that listens already. `given`: settings; None leaves one to the environment.
    """
    settings = read_settings(**given)
    descriptor = handed_over() if descriptor is None else descriptor
    bundles = find_bundles(folder)
    verify(bundles, settings.models_digest)
    limits = Limits(memory_bytes=settings.probe_memory_mb * 2**20, seconds=settings.probe_seconds)
    for bundle in bundles:
        probe(bundle, limits)
    with ExitStack() as stack:
        if descriptor is None:
            auth.check_address(settings.host, settings)
            listener = stack.enter_context(bind(settings.host, settings.port))
        else:
            listener = stack.enter_context(adopt(descriptor))
            auth.check_address(listener.getsockname()[0], settings)
        ops = None
        if settings.ops_port:
            auth.check_address(settings.ops_host, settings)
            ops = stack.enter_context(bind(settings.ops_host, settings.ops_port))
        shared = descriptor is not None
        host = listener.getsockname()[0]
        grpc = stack.enter_context(held(host, settings.grpc_port, shared=shared)) if settings.grpc_port else None
        if sys.stdout.isatty():
            _greet(url(listener), bundles[0].name, kind=bundles[0].card.input.kind)
        sockets = Sockets(listener, ops, grpc, taken_over=shared)
        return serve(sockets, bundles, settings, folder=folder)


SENT: Mapping[str, str] = {
    "text": """-d '{"inputs": "move 50 dollars to savings", "top_k": 3}'""",
    "tensor": """-d '{"inputs": [0.1, 0.2], "top_k": 3}'""",
    "image": "--data-binary @picture.png -H 'Content-Type: image/png'",
}


def _greet(url: str, name: str, *, kind: str) -> None:
    console.print(f"\n  [bold]softgate[/bold] {__version__} on [link={url}]{url}[/link]   docs: {url}/docs\n")
    console.print(Text(f"  curl {url}/v1/models/{name}/predict {SENT[kind]}\n"), soft_wrap=True)
