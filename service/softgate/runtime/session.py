"""The only file that imports onnxruntime. Sessions are made from bytes, and the library's errors become ours."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import EngineFailed, GraphInvalid, MemoryExhausted
from softgate.types import ModelFiles, TensorSpec

# Since 1.29 the Linux wheels send telemetry unless this is set before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

ENGINE = f"onnxruntime {ort.__version__}"

# Errors come as exceptions; written to standard error as well they break the log and quote values of the input.
_FATAL = 4
_DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(np.object_),
}
# How the engine says that it could not allocate.
_NO_MEMORY = re.compile(r"bad_alloc|bad allocation|failed to allocate", re.IGNORECASE)
_ELSEWHERE = b"location"
_GIVES_BACK = ort.RunOptions()
_GIVES_BACK.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
_NO_LOCALE = "Failed to construct locale"
# What a ZipMap gives: one map per row, from class to number.
_MAPS: Mapping[str, np.dtype[np.generic]] = {
    "seq(map(string,tensor(float)))": np.dtype(np.object_),
    "seq(map(int64,tensor(float)))": np.dtype(np.int64),
}


class Session:
    """A graph ready to run, one row of its output per row of its input."""

    def __init__(self, model: bytes, *, threads: int, external: Mapping[str, bytes] | None = None) -> None:
        """
        Load the graph from the bytes that were hashed, those of its `external` files among them, and open no file.

        Raises GraphInvalid.
        """
        files = _attached(ModelFiles(model, external or {}))
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # A spinning pool burns a core between requests: 5 times the CPU per request, measured at 50 requests a second.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The second guard: a file would be looked for in the working directory; below this none can be.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")
        if files.external:
            handed = files.external
            options.add_external_initializers_from_files_in_memory(
                list(handed), list(handed.values()), [len(content) for content in handed.values()]
            )
        try:
            self._session = _load(files.content, options)
        except Exception as exc:
            raise GraphInvalid(f"onnxruntime does not load the graph: {_first_line(exc)}") from exc
        self.inputs = [_spec(tensor) for tensor in self._session.get_inputs()]
        self.outputs = [_output_spec(tensor) for tensor in self._session.get_outputs()]

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, NDArray[np.generic]], *, keeps_memory: bool = True
    ) -> Sequence[Any]:
        """
        The outputs named, in order: arrays, or a list of maps for a ZipMap. Raises EngineFailed.

        What a run allocates is kept for the next, however large; without `keeps_memory` it is given back at the end.
        """
        try:
            found: Sequence[Any] = self._session.run(outputs, feed, None if keeps_memory else _GIVES_BACK)
        except Exception as exc:
            kind = MemoryExhausted if _NO_MEMORY.search(str(exc)) else EngineFailed
            raise kind(f"onnxruntime failed while it ran the graph: {_without_values(exc)}") from exc
        return found


def _attached(model: ModelFiles) -> ModelFiles:
    # Protocol Buffers keep the word as it is: without it, no constant is said to lie elsewhere, and none is looked for.
    if not model.external and _ELSEWHERE not in model.content:
        return model
    from softgate.runtime.external import attached  # noqa: PLC0415 - heavy, and seldom needed

    return attached(model)


def _load(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as exc:
        if _NO_LOCALE not in str(exc):
            raise
        from softgate.runtime.locale import with_locale  # noqa: PLC0415 - heavy, and seldom needed

        return ort.InferenceSession(with_locale(model), options, providers=["CPUExecutionProvider"])


def _output_spec(tensor: ort.NodeArg) -> TensorSpec:
    names = _MAPS.get(tensor.type)
    return _spec(tensor) if names is None else TensorSpec(tensor.name, names, (None,), maps=True)


def _spec(tensor: ort.NodeArg) -> TensorSpec:
    dtype = _DTYPES.get(tensor.type)
    if dtype is None:
        known = ", ".join(sorted(_DTYPES))
        raise GraphInvalid(f"{tensor.name} has the type {tensor.type}; wanted one of {known}.")
    return TensorSpec(tensor.name, dtype, tuple(size if isinstance(size, int) else None for size in tensor.shape))


def _without_values(exc: Exception) -> str:
    """What failed, without the status message behind it: that may quote values of the input."""
    return _first_line(exc).partition(" Status Message:")[0]


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0][:300]
