"""`softgate digest`."""

from pathlib import Path

from softgate.commands.screen import console, plain
from softgate.runtime.pinned import bundle_digest, models_digest
from softgate.runtime.repository import find_bundles


def run(folder: Path) -> None:
    """A line for each model, then the digest to pin."""
    bundles = find_bundles(folder)
    for bundle in bundles:
        console.print(
            plain(f"{bundle_digest(bundle)}  {bundle.name} {bundle.version}"), soft_wrap=True, highlight=False
        )
    console.print(models_digest(bundles), soft_wrap=True, highlight=False)
