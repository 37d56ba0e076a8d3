"""
One digest over all that is served, to be pinned outside the model folder.

Whoever can write to the folder can write a digest into it as well; one that the command line or the environment names
is out of their reach. It is taken from what was read and is about to be served, not from the files once more.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from softgate.errors import DigestMismatch
from softgate.runtime.calibration import sha256
from softgate.runtime.repository import Bundle

ALGORITHM = "sha256:"


def bundle_digest(bundle: Bundle) -> str:
    """
    Of the version that is served: card, labels, tokenizer, graph with its external data, calibration, golden rows.

    64 hex digits. Of the TOML and the JSON files the values count, not how they are written.
    """
    golden = bundle.golden
    return _digest(
        {
            "card": bundle.card.raw,
            "version": bundle.version,
            "labels": sha256(bundle.labels_content),
            "graph": bundle.model_sha256,
            "external_data": {name: sha256(content) for name, content in bundle.model.external.items()},
            "tokenizer": None if bundle.tokenizer is None else sha256(bundle.tokenizer),
            "calibration": None if bundle.calibration is None else bundle.calibration.digest,
            "golden": None if golden is None else [golden.rows, golden.logits.tolist(), golden.labels],
        }
    )


def models_digest(bundles: Sequence[Bundle], *, others: Mapping[str, str] = MappingProxyType({})) -> str:
    """Of all that a server serves, and of others by their digests: `sha256:` and 64 hex digits."""
    return ALGORITHM + _digest({**others, **{bundle.name: bundle_digest(bundle) for bundle in bundles}})


def verify(bundles: Sequence[Bundle], pinned: str | None, *, others: Mapping[str, str] = MappingProxyType({})) -> None:
    """
    Raises DigestMismatch where `pinned` is another digest than theirs; None: nothing is pinned.

    `others`: digests, by name, of models that are pinned with them and not served now.
    """
    if pinned is None:
        return
    found = models_digest(bundles, others=others)
    if found != pinned:
        each = ", ".join(f"{bundle.name} {bundle.version} has {bundle_digest(bundle)[:12]}" for bundle in bundles)
        raise DigestMismatch(f"The models are not those that are pinned: got {found}, wanted {pinned}; {each}.")


def _digest(value: Any) -> str:
    # A date of TOML is no value of JSON.
    return sha256(json.dumps(value, sort_keys=True, default=str).encode())
