"""Texts and pairs of texts → token ids, by the tokenizer.json that the model was trained with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import CardInvalid, InvalidInput, SoftgateError
from softgate.runtime.inputs.numbers import text_of
from softgate.runtime.inputs.strings import check_text, made_up
from softgate.types import Rows, TensorSpec

if TYPE_CHECKING:
    from tokenizers import Encoding


class TokenInput:
    """
    For graphs that take integers (n_rows, n_tokens), padded to the longest row or to the graph's own width.

    A row is a text, or a pair of texts for a graph that judges one by the other.
    """

    row: Any = str | tuple[str, str]
    depth = 0
    pairs = True
    tensors: Sequence[TensorSpec] = (TensorSpec("text", np.dtype(object), (None,)),)

    def __init__(self, specs: Mapping[str, TensorSpec], *, max_tokens: int, tokenizer: bytes) -> None:
        """`specs` by role: input_ids, attention_mask, token_type_ids. Raises CardInvalid."""
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415 - an extra, needed by this kind alone
        except ImportError as exc:
            raise CardInvalid("input.kind is text, which needs an extra: pip install 'softgate[text]'.") from exc
        with _raised_as(CardInvalid, "tokenizer.json cannot be read: {}."):
            self._tokenizer = Tokenizer.from_str(tokenizer.decode("utf-8"))
        self._specs = specs
        self._width = next((spec.shape[1] for spec in specs.values() if spec.shape[1] is not None), None)
        padding = self._tokenizer.padding or {}
        named = (self._tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>"))
        pad_id = padding.get("pad_id", next((token for token in named if token is not None), 0))
        self._fill = {"input_ids": pad_id, "attention_mask": 0, "token_type_ids": padding.get("pad_type_id", 0)}
        self._left = padding.get("direction") == "left"
        truncation = self._tokenizer.truncation or {}
        self._tokenizer.no_padding()
        # What the tokenizer cuts is what the model was trained on.
        limits = (max_tokens, self._width, truncation.get("max_length"))
        limit = min(size for size in limits if size is not None)
        specials = max(map(self._tokenizer.num_special_tokens_to_add, (True, False)))
        if limit < specials:
            # The library cuts nothing then.
            raise CardInvalid(f"A text is cut to {limit} tokens; the tokenizer itself adds {specials}.")
        self._tokenizer.enable_truncation(limit, direction=truncation.get("direction", "right"))
        # The fast way gives the second text of a pair the type of the first, unless a post-processor mends it.
        typed = "token_type_ids" in specs
        self._encode = self._tokenizer.encode_batch if typed else self._tokenizer.encode_batch_fast

    def check(self, values: Sequence[Any]) -> Rows:
        """Raises InvalidInput and TextTooLong."""
        for row, value in enumerate(values):
            for text in value if isinstance(value, tuple | list) and len(value) == 2 else (value,):
                check_text(text, row)
        return Rows(values)

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """Raises InvalidInput and TextTooLong."""
        (texts,) = tensors
        return self.check([text_of(value) for value in texts])

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        """Raises InvalidInput for a text that the tokenizer has no token for."""
        return self.padded(self.encode(rows))

    def encode(self, rows: Rows) -> "Sequence[Encoding]":
        """The tokens of each row. Raises what `feed` raises."""
        texts = [tuple(row) if isinstance(row, list) else row for row in rows.values]
        with _raised_as(InvalidInput, "Expected texts that tokenizer.json can encode; it failed on one of them."):
            encodings: Sequence[Encoding] = self._encode(texts)
        return encodings

    def width(self, encoding: "Encoding") -> int:
        """How many tokens a row is, alone; one without a token is still a row: it holds one pad."""
        return self._width or max(1, len(encoding))

    def padded(self, encodings: "Sequence[Encoding]") -> Mapping[str, NDArray[np.generic]]:
        """The feed of these rows, each padded to the longest of them."""
        width = max(map(self.width, encodings))
        return {spec.name: self._filled(role, spec, encodings, width) for role, spec in self._specs.items()}

    def lengths(self, rows: Rows) -> Sequence[int]:
        """Tokens of each row: a batch is as wide as its longest. Raises InvalidInput as `feed` does."""
        return [len(encoding) for encoding in self.encode(rows)]

    def samples(self, n_rows: int) -> Sequence[str]:
        return made_up(n_rows)

    def _filled(self, role: str, spec: TensorSpec, encodings: "Sequence[Encoding]", width: int) -> NDArray[np.generic]:
        rows = [_ROLES[role](encoding) for encoding in encodings]
        if all(len(tokens) == width for tokens in rows):
            return np.array(rows, dtype=spec.dtype)
        filled = np.full((len(rows), width), self._fill[role], dtype=spec.dtype)
        for row, tokens in enumerate(rows):
            filled[row, width - len(tokens) if self._left else 0 :][: len(tokens)] = tokens
        return filled


@contextmanager
def _raised_as(error: type[SoftgateError], sentence: str) -> Iterator[None]:
    """What the library raises as an error of ours; the sentence may have a place for its text."""
    try:
        yield
    except BaseException as exc:
        # A panic of the library's Rust (a regular expression that gives up) is no Exception, and is not exported.
        if not isinstance(exc, Exception) and type(exc).__name__ != "PanicException":
            raise
        raise error(sentence.format(exc)) from exc


_ROLES: Mapping[str, Any] = {
    "input_ids": lambda encoding: encoding.ids,
    "attention_mask": lambda encoding: encoding.attention_mask,
    "token_type_ids": lambda encoding: encoding.type_ids,
}
