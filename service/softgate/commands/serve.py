"""`softgate serve`."""

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from softgate import __version__
from softgate.commands.screen import console
from softgate.runtime.contained import Limits
from softgate.runtime.pinned import verify
from softgate.runtime.probe import probe
from softgate.runtime.repository import find_bundles
from softgate.settings import read_settings
from softgate.web import auth, server, supervisor


def run(folder: Path, **options: object) -> int:
    """Until told to stop; returns the exit code. `options` are settings; None leaves one to the environment."""
    settings = read_settings(**options)
    bundles = find_bundles(folder)
    verify(bundles, settings.models_digest)
    limits = Limits(memory_bytes=settings.probe_memory_mb * 2**20, seconds=settings.probe_seconds)
    for bundle in bundles:
        probe(bundle, limits)
    auth.check_address(settings.host, settings)
    with server.bind(settings.host, settings.port) as listener:
        if sys.stdout.isatty():
            _greet(server.url(listener), bundles[0].name, kind=bundles[0].card.input.kind)
        return supervisor.serve(listener, bundles, settings)


SENT: Mapping[str, str] = {
    "text": """-d '{"inputs": "move 50 dollars to savings", "top_k": 3}'""",
    "tensor": """-d '{"inputs": [0.1, 0.2], "top_k": 3}'""",
    "image": "--data-binary @picture.png -H 'Content-Type: image/png'",
}


def _greet(url: str, name: str, *, kind: str) -> None:
    console.print(f"\n  [bold]softgate[/bold] {__version__} on [link={url}]{url}[/link]   docs: {url}/docs\n")
    console.print(Text(f"  curl {url}/v1/models/{name}/predict {SENT[kind]}\n"), soft_wrap=True)
