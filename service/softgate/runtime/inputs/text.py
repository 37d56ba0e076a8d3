"""Texts → token ids, by the tokenizer.json that the model was trained with."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from softgate.errors import CardInvalid, GraphInvalid, InvalidInput, TextTooLong
from softgate.types import Rows, TensorSpec

# Tokenization is linear in the text: at a megabyte one row would hold up everybody else's.
MAX_CHARACTERS = 32_768


class TextInput:
    """For graphs that take one integer tensor (n_rows, n_tokens) of token ids, padded to the longest row."""

    element: type = str

    def __init__(
        self, specs: Sequence[TensorSpec], *, tensor: str | None, max_tokens: int, tokenizer: bytes | None
    ) -> None:
        """Raises CardInvalid without a readable tokenizer.json, GraphInvalid for a graph that takes something else."""
        if tokenizer is None:
            raise CardInvalid("input.kind is text, so the model folder must hold a tokenizer.json; there is none.")
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415 - an extra, needed by this kind alone
        except ImportError as exc:
            raise CardInvalid("input.kind is text, which needs an extra: pip install 'softgate[text]'.") from exc
        self._spec = _ids(specs, tensor)
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer.decode("utf-8"))
        except Exception as exc:
            raise CardInvalid(f"tokenizer.json cannot be read: {exc}.") from exc
        pad_id = (self._tokenizer.padding or {}).get("pad_id", self._tokenizer.token_to_id("[PAD]") or 0)
        self._pad_id = pad_id
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def check(self, values: Sequence[object]) -> Rows:
        """Raises InvalidInput and TextTooLong."""
        texts = cast(Sequence[str], values)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise InvalidInput(f"Expected a text in each row; row {row} has none.")
            if len(text) > MAX_CHARACTERS:
                raise TextTooLong(f"Expected at most {MAX_CHARACTERS} characters per text; row {row} has {len(text)}.")
            if not _is_whole(text):
                raise InvalidInput(f"Expected texts of whole characters; row {row} has half a surrogate pair.")
        return Rows(texts)

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        """Raises InvalidInput for a text that the tokenizer has no token for."""
        try:
            encodings = self._tokenizer.encode_batch_fast(list(rows.values))
        except Exception as exc:
            raise InvalidInput("Expected texts that tokenizer.json can encode; it failed on one of them.") from exc
        ids = [encoding.ids for encoding in encodings]
        # A text without a single token is still a row: it holds one pad.
        width = max(1, *map(len, ids))
        padded = np.full((len(ids), width), self._pad_id, dtype=self._spec.dtype)
        for row, tokens in enumerate(ids):
            padded[row, : len(tokens)] = tokens
        return {self._spec.name: padded}

    def samples(self, n_rows: int) -> Rows:
        return Rows(["the quick brown fox jumps over the lazy dog"] * n_rows)


def _is_whole(text: str) -> bool:
    """Half a surrogate pair is a character to Python, but none to UTF-8 nor to the tokenizer."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ids(specs: Sequence[TensorSpec], tensor: str | None) -> TensorSpec:
    named = [spec for spec in specs if tensor in (None, spec.name)]
    if len(specs) != 1 or len(named) != 1 or named[0].dtype.kind != "i" or len(named[0].shape) != 2:
        got = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
        wanted = f"one integer input{f' named {tensor}' if tensor else ''} of shape [batch, tokens]"
        raise GraphInvalid(f"input.kind is text, which wants a graph with {wanted}; got {got}.")
    return named[0]
