"""The only file that imports onnxruntime. Sessions are made from bytes, and the library's errors become ours."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from softgate.errors import EngineFailed, GraphInvalid
from softgate.types import TensorSpec

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


class Session:
    """A graph ready to run, one row of its output per row of its input."""

    def __init__(self, model: bytes, *, threads: int) -> None:
        """
        Load the graph from the bytes that were hashed, and from no other file.

        Raises GraphInvalid.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # A spinning pool burns a core between requests: 5 times the CPU per request, measured at 50 requests a second.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # External data is looked for in the working directory unless told otherwise; below this no file can be.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:
            raise GraphInvalid(f"onnxruntime does not load the graph: {_first_line(exc)}") from exc
        self.inputs = [_spec(tensor) for tensor in self._session.get_inputs()]
        self.outputs = [_spec(tensor) for tensor in self._session.get_outputs()]

    def run(self, output: str, feed: Mapping[str, NDArray[np.generic]]) -> NDArray[np.floating]:
        """Raises EngineFailed."""
        try:
            (result,) = self._session.run([output], feed)
        except Exception as exc:
            raise EngineFailed(f"onnxruntime failed while it ran the graph: {_without_values(exc)}") from exc
        return np.asarray(result)


def find_output(session: Session, name: str | None, *, n_classes: int) -> str:
    """The name of the output with one column per class. Raises GraphInvalid."""
    candidates = [spec for spec in session.outputs if name in (None, spec.name)]
    if len(candidates) != 1:
        names = ", ".join(spec.name for spec in session.outputs)
        wanted = f"an output named {name}" if name else "one output, or output.tensor in the card to choose one"
        raise GraphInvalid(f"The graph has the outputs {names}; wanted {wanted}.")
    spec = candidates[0]
    if spec.dtype.kind != "f" or len(spec.shape) != 2 or spec.shape[1] not in (None, n_classes):
        raise GraphInvalid(
            f"Output {spec.name} is {spec.dtype} {_shape(spec.shape)}; "
            f"wanted floats of shape [batch, {n_classes}], one column per line of labels.txt."
        )
    return spec.name


def _spec(tensor: ort.NodeArg) -> TensorSpec:
    dtype = _DTYPES.get(tensor.type)
    if dtype is None:
        known = ", ".join(sorted(_DTYPES))
        raise GraphInvalid(f"{tensor.name} has the type {tensor.type}; wanted one of {known}.")
    return TensorSpec(tensor.name, dtype, tuple(size if isinstance(size, int) else None for size in tensor.shape))


def _shape(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('batch' if size is None else str(size) for size in shape)}]"


def _without_values(exc: Exception) -> str:
    """What failed, without the status message behind it: that may quote values of the input."""
    return _first_line(exc).partition(" Status Message:")[0]


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0][:300]
