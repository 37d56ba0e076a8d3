"""
Graphs that mean harm, as the bytes of a file, and functions that misbehave as such a graph makes a process do.

The functions run in a child that `contained` starts, which finds this module on the path of the tests.
"""

import ctypes
import itertools
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from softgate.errors import CardInvalid, SoftgateError
from softgate.runtime.session import Session
from softgate.workbench.graph import graph_facts

INT64_MAX = 2**63 - 1


def graph(nodes: list[NodeProto], *constants: TensorProto, opsets: tuple[str, ...] = ("",)) -> bytes:
    """features (batch, 2) → logits, whatever the nodes make of them."""
    inner = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        constants,
    )
    imports = [helper.make_opsetid(domain, 1 if domain else 17) for domain in opsets]
    return bytes(helper.make_model(inner, opset_imports=imports, ir_version=9).SerializeToString())


def foldable(n_bytes: int) -> bytes:
    """A constant of so many bytes in a file of a few hundred: the engine may make it while it loads the graph."""
    shape = numpy_helper.from_array(np.array([n_bytes // 4], dtype=np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["features", "zero"], ["logits"]),
    ]
    return graph(nodes, shape)


def bomb_when_run(n_bytes: int) -> bytes:
    """The same, but the shape depends on the row, so that the memory is asked for when the graph runs."""
    size = numpy_helper.from_array(np.array([n_bytes // 4], dtype=np.int64), "size")
    nodes = [
        helper.make_node("Shape", ["features"], ["rows"], start=0, end=1),
        helper.make_node("Mul", ["rows", "size"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["features", "zero"], ["logits"]),
    ]
    return graph(nodes, size)


def bomb_of_a_row() -> bytes:
    """The same, but the size is in the row: so many bytes as the largest feature says, rounded up to a float."""
    constants = [
        numpy_helper.from_array(np.array(0, dtype=np.int64), "nothing"),
        numpy_helper.from_array(np.array(4, dtype=np.int64), "float"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
    ]
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["bytes"], to=TensorProto.INT64),
        helper.make_node("Max", ["bytes", "nothing"], ["some"]),
        helper.make_node("Div", ["some", "float"], ["floats"]),
        helper.make_node("Reshape", ["floats", "one"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["features", "zero"], ["logits"]),
    ]
    return graph(nodes, *constants)


def endless_loop() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Sin", ["value_in"], ["value_out"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.FLOAT, None),
        ],
    )
    constants = [
        numpy_helper.from_array(np.array(INT64_MAX), "steps"),
        numpy_helper.from_array(np.array(True), "go"),
    ]
    return graph([helper.make_node("Loop", ["steps", "go", "features"], ["logits"], body=body)], *constants)


def foreign_operator() -> bytes:
    """An operator that only somebody's own library knows."""
    return graph(
        [helper.make_node("Exfiltrate", ["features"], ["logits"], domain="evil.example")], opsets=("", "evil.example")
    )


def external_weights(location: str) -> bytes:
    """Weights said to be in a file beside the graph, or wherever `location` points."""
    return graph(
        [helper.make_node("MatMul", ["features", "weights"], ["logits"])], external_tensor("weights", location)
    )


def external_tensor(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def sick_weights() -> bytes:
    """One NaN and two infinities among four weights."""
    weights = np.array([[np.nan, np.inf], [-np.inf, 1]], dtype=np.float32)
    return graph(
        [helper.make_node("MatMul", ["features", "weights"], ["logits"])], numpy_helper.from_array(weights, "weights")
    )


def truncated() -> bytes:
    """The first half of a good file."""
    whole = sick_weights()
    return whole[: len(whole) // 2]


def deeply_nested(levels: int) -> bytes:
    """A graph in an attribute of a node of a graph, and so on; written by hand, for the library would not write it."""
    inner = b""
    for _ in range(levels):
        inner = _field(1, _field(5, _field(6, inner)))
    return _field(7, inner)


def crowded(n_nodes: int) -> bytes:
    """Two bytes a node in the file, a hundred and more once parsed."""
    return _field(7, _field(1, b"") * n_nodes)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes as protobuf writes it: 1 is a graph's node, 5 its attribute, 6 a graph in it, 7 the model's."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    return (bytes([value & 127 | 128]) + _varint(value >> 7)) if value > 127 else bytes([value])


def load(path: str) -> Iterator[int]:
    """By how many bytes the process grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Session(Path(path).read_bytes(), threads=2)
    yield (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def parse(path: str) -> Iterator[int]:
    yield graph_facts(Path(path).read_bytes()).ir_version


def run(path: str) -> Iterator[list[list[float]]]:
    session = Session(Path(path).read_bytes(), threads=2)
    (logits,) = session.run(["logits"], {"features": np.ones((1, 2), dtype=np.float32)})
    yield logits.tolist()


def echo(*arguments: str) -> Iterator[str]:
    yield from arguments


def count() -> Iterator[int]:
    """For ever."""
    yield from itertools.count()


def own_id_then_sleep() -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def spin() -> Iterator[None]:
    while True:
        pass


def crash() -> Iterator[None]:
    yield None
    ctypes.string_at(0)


def abort() -> Iterator[None]:
    os.kill(os.getpid(), signal.SIGABRT)
    yield


def die_of_bad_alloc() -> Iterator[None]:
    """As the C++ library does it for an exception in a thread of its own."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n")
    os.kill(os.getpid(), signal.SIGABRT)
    yield


def killed() -> Iterator[None]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield


def leave(code: str) -> Iterator[None]:
    os._exit(int(code))


def noisy(n_bytes: str) -> Iterator[str]:
    """Noise as a C library makes it, which does not mind that a write fails, and as Python makes it."""
    libc = ctypes.CDLL(None)
    line = b'["value", "forged"]\n'
    for _ in range(int(n_bytes) // len(line)):
        libc.write(1, line, len(line))
        libc.write(2, line, len(line))
    yield "first"
    print("noise")
    sys.stderr.write("noise")
    yield "second"


def long_line(n_bytes: str) -> Iterator[str]:
    yield "x" * int(n_bytes)


def not_a_number() -> Iterator[float]:
    yield float("nan")


def hoard() -> Iterator[int]:
    yield len(bytearray(2**40))


def our_error() -> Iterator[None]:
    raise CardInvalid("Expected a card; got a “postcard”.")


def root_error() -> Iterator[None]:
    raise SoftgateError("the root of the tree")


def their_error() -> Iterator[None]:
    raise LookupError("a secret value of the input")


def surroundings() -> Iterator[dict[str, object]]:
    yield {
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        "path": sys.path,
    }
