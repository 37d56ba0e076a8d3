"""The protocol's words for the types of a tensor's elements, and numpy's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

BYTES = "BYTES"
# Little-endian, as the wire has them. BF16 is no type of numpy's.
DATATYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    BYTES: np.dtype(object),
}
_WORDS = {dtype: word for word, dtype in DATATYPES.items()}


def word(dtype: np.dtype[Any]) -> str:
    """Of a graph's type."""
    return _WORDS[dtype]
