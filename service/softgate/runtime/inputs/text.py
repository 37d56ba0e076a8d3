"""Texts → what the graph takes: token ids by the model's own tokenizer.json, or the texts themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softgate.errors import CardInvalid, GraphInvalid
from softgate.runtime.inputs.strings import StringInput
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.table import Table
from softgate.types import TensorSpec


@dataclass(frozen=True, slots=True)
class TextKeys:
    tensor: str | None
    """Name of the graph's input of texts or token ids, where the card states it."""
    max_tokens: int
    """A text is cut after so many tokens."""
    attention_mask: str | None
    """Name of the input that is 1 for tokens and 0 for padding, where it is not `attention_mask`."""
    token_type_ids: str | None
    """Name of the input that tells the first text of a pair from the second, where it is not `token_type_ids`."""


def read(table: Table) -> TextKeys:
    return TextKeys(
        tensor=table.text("tensor", None),
        max_tokens=table.integer("max_tokens", 512, low=1, high=100_000),
        attention_mask=table.text("attention_mask", None),
        token_type_ids=table.text("token_type_ids", None),
    )


def build(specs: Sequence[TensorSpec], keys: TextKeys, *, tokenizer: bytes | None) -> StringInput | TokenInput:
    """Raises CardInvalid without a readable tokenizer.json, GraphInvalid for a graph that takes something else."""
    for key in ("tensor", "attention_mask", "token_type_ids"):
        name = getattr(keys, key)
        if name is not None and name not in {spec.name for spec in specs}:
            raise GraphInvalid(f"input.{key} is {name}; the graph takes {_shown(specs)}.")
    takes_strings = len(specs) == 1 and specs[0].dtype.kind == "O"
    if takes_strings and tokenizer is None:
        return StringInput(specs[0])
    if takes_strings:
        raise CardInvalid("The graph takes texts as they are, yet the model folder holds a tokenizer.json; remove it.")
    if tokenizer is None:
        raise CardInvalid("input.kind is text, so the model folder must hold a tokenizer.json; there is none.")
    return TokenInput(_roles(specs, keys), max_tokens=keys.max_tokens, tokenizer=tokenizer)


def _roles(specs: Sequence[TensorSpec], keys: TextKeys) -> Mapping[str, TensorSpec]:
    """Which input is which: by the names of the card, else by those that exports have."""
    if len(specs) == 1:
        named = {"input_ids": specs[0]}
    else:
        roles = {
            keys.tensor or "input_ids": "input_ids",
            keys.attention_mask or "attention_mask": "attention_mask",
            keys.token_type_ids or "token_type_ids": "token_type_ids",
        }
        named = {roles[spec.name]: spec for spec in specs if spec.name in roles}
    if len(named) < len(specs) or "input_ids" not in named or not all(map(_holds_tokens, specs)):
        raise GraphInvalid(
            "input.kind is text, which wants a graph with int32 or int64 inputs of shape [batch, tokens], named "
            f"input_ids and, where it has them, attention_mask and token_type_ids; got {_shown(specs)}. "
            "The card's input.tensor, input.attention_mask and input.token_type_ids name them otherwise."
        )
    return named


def _holds_tokens(spec: TensorSpec) -> bool:
    # int8 has no room for the ids of a vocabulary.
    return spec.dtype in (np.int32, np.int64) and len(spec.shape) == 2


def _shown(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))
