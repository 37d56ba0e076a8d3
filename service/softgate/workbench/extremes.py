"""Rows at the edge of what a client may send: to see that a graph survives them."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from softgate.runtime.inputs.formats import PNG_SIGNATURE

TEXTS = (
    "",
    " ",
    "a",
    "a" * 20_000,
    "word " * 4_000,
    "\u0000\u0001\u001f",
    "\u202eright to left\u202c العربية עברית",
    "e\u0301\u0308\u0327" * 500,
    "👩‍👩‍👧‍👦🏳️‍🌈" * 100,
    "日本語の文章です。",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "[CLS] [SEP] [PAD] [UNK] [MASK]",
    "\t\r\n\u2028\u0085",
)
NUMBERS = (0, -1, 1, 1e-30, 1e6, -1e6, 1e30, -1e30, 3.4e38, 1e308)
FUZZED_ROWS = 32


def extreme_rows(kind: str, samples: Sequence[Any]) -> Sequence[Any]:
    """Rows like `samples`, which are of an input of this kind, with every value at an edge; the same at every call."""
    if kind == "image":
        # What is no image is refused before the graph sees it; where all pixels are alike, their deviation is 0.
        return [*(_one_grey(level) for level in (0, 128, 255)), *samples]
    if kind == "text":
        draw = random.Random(0)  # noqa: S311 - nothing secret
        fuzzed = [
            "".join(chr(draw.randrange(1, 0xD800)) for _ in range(draw.randrange(1, 200))) for _ in range(FUZZED_ROWS)
        ]
        return [*TEXTS, *fuzzed]
    # A JSON copy: what is replaced is replaced in the copy alone.
    return [_filled(json.loads(json.dumps(samples[0])), number) for number in NUMBERS]


def _one_grey(level: int) -> str:
    """A PNG of 8 x 8 pixels of one grey, in base64; by hand, for this floor imports no Pillow."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress((b"\0" + bytes([level]) * 8) * 8)), (b"IEND", b""))
    chunks = (
        len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4) for kind, content in parts
    )
    return base64.b64encode(PNG_SIGNATURE + b"".join(chunks)).decode()


def _filled(value: Any, number: float) -> Any:
    """The same row with every number of it replaced; an integer stays one."""
    if isinstance(value, list):
        return [_filled(item, number) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, number) for key, item in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return int(number) if isinstance(value, int) else float(number)
