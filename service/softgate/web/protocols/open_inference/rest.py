"""
The Open Inference Protocol over HTTP: `POST /v2/models/{model}/infer`.

A body is JSON, and behind it may stand tensors as they lie in memory: a header tells where the JSON ends. What a body
is, is never told by its Content-Type, of which clients send what they like or none.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson

from softgate.errors import InvalidInput, MalformedBody
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.web.encoding import deflated
from softgate.web.errors import Problem
from softgate.web.head import Headers, header
from softgate.web.protocols.native import decode
from softgate.web.protocols.open_inference.datatypes import BYTES, word
from softgate.web.protocols.open_inference.inference import (
    Inference,
    OutputParameters,
    Parameters,
    Sent,
    find,
    no_shared_memory,
    rows,
    status,
)
from softgate.web.protocols.open_inference.outputs import Told, Wanted, wanted
from softgate.web.protocols.open_inference.tensors import (
    Tensor,
    decode_json,
    decode_raw,
    encode_raw,
    n_elements,
    of_objects,
)
from softgate.web.protocols.protocol import Answer, Call, Request

PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
# How many bytes of a body are JSON; 0: none, the rest of it is the only tensor.
LENGTH_HEADER = b"inference-header-content-length"
LENGTH = re.compile(rb"[0-9]{1,15}")
OCTETS = b"application/octet-stream"
# Of an axis, as over gRPC. A size of thousands of digits could not even be told.
MOST_SIZE = 2**63 - 1


class InputParameters(msgspec.Struct):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How many bytes behind the JSON are this tensor's; None: it is in the JSON."""
    shared_memory_region: str | None = None


class InferInput(msgspec.Struct):
    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0, le=MOST_SIZE)]]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: InputParameters | None = None


class InferOutput(msgspec.Struct):
    name: str
    parameters: OutputParameters | None = None


class InferBody(msgspec.Struct):
    """The wire's request; what it says beside this is for other servers."""

    inputs: list[InferInput]
    outputs: list[InferOutput] | None = None
    parameters: Parameters | None = None
    id: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class Form(NamedTuple):
    """How an answer is written."""

    binary: Sequence[bool]
    """Of each output whether it stands behind the JSON."""
    identity: str | None
    accepts: bytes
    """The encodings that the client takes."""


class OpenInference:
    """Decode and encode."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        found = PATH.fullmatch(path) if method == "POST" else None
        return None if found is None else (found[1], found[2])

    def owns(self, path: str) -> bool:
        return path == "/v2" or path.startswith("/v2/")

    def read(self, request: Request) -> Call:
        classifier = find(self._catalogue, request.model, request.version)
        if not classifier.degrades:
            # A fallback is for rows: those have to be read first.
            classifier.admit(seconds_left=request.seconds_left)
        inference, form = read(request.body, request.headers, classifier)
        return inference.call(classifier, partial(encode, classifier, form), started=request.started)

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        return Answer(orjson.dumps({"error": problem.detail}), status=status(problem))


_BODY = msgspec.json.Decoder(InferBody)
_NO_DATA = msgspec.Raw()


def read(body: bytes, headers: Headers, classifier: Classifier) -> tuple[Inference, Form]:
    """Raises InvalidInput and UnsupportedExtension."""
    listed, binary = _parted(body, headers)
    accepts = header(headers, b"accept-encoding")
    if listed is None:
        everything = wanted(())
        alone = rows([_alone(binary, classifier)], classifier)
        return Inference(alone, everything, Parameters()), Form([True] * len(everything), None, accepts)
    asked: InferBody = decode(_BODY, listed, at="the body")
    parameters = asked.parameters or Parameters()
    outputs = [(each.name, each.parameters or OutputParameters()) for each in asked.outputs or ()]
    if any(each.shared_memory_region is not None for _, each in outputs):
        raise no_shared_memory()
    chosen = wanted(Wanted(name, each.classification) for name, each in outputs)
    said = [each.binary_data for _, each in outputs] or [None] * len(chosen)
    form = Form([parameters.binary_data_output if each is None else each for each in said], asked.id, accepts)
    return Inference(rows(_sent(asked.inputs, binary), classifier), chosen, parameters), form


def _parted(body: bytes, headers: Headers) -> tuple[bytes | None, memoryview]:
    """The JSON, None where a client says that there is none, and what stands behind it. Raises MalformedBody."""
    values = {value for name, value in headers if name == LENGTH_HEADER}
    if not values:
        return body, memoryview(b"")
    value = values.pop()
    if values or LENGTH.fullmatch(value) is None or int(value) > len(body):
        raise MalformedBody(f"Expected an Inference-Header-Content-Length of at most {len(body)}, the body's length.")
    length = int(value)
    return body[:length] if length else None, memoryview(body)[length:]


def _sent(inputs: Sequence[InferInput], binary: memoryview) -> Sequence[Sent]:
    """`binary`: what stands behind the JSON. Raises MalformedBody and UnsupportedExtension."""
    found, start = [], 0
    for place, each in enumerate(inputs):
        at, parameters = f"inputs[{place}]", each.parameters or InputParameters()
        if parameters.shared_memory_region is not None:
            raise no_shared_memory()
        size = parameters.binary_data_size
        if (size is None) == (each.data == _NO_DATA):
            raise MalformedBody(f"In {at}: Expected either data or, in its parameters, a binary_data_size.")
        if size is None:
            decoding = partial(decode_json, bytes(each.data), each.datatype, each.shape, at=at)
        elif size > len(binary) - start:
            raise MalformedBody(f"In {at}: Expected {size} bytes behind the JSON; {len(binary) - start} are left.")
        else:
            raw = binary[start : start + size]
            decoding = partial(decode_raw, raw, each.datatype, each.shape, at=at)
            start += size
        found.append(Sent(each.name, each.datatype, each.shape, decoding))
    if start != len(binary):
        raise MalformedBody(f"Expected {start} bytes behind the JSON, as its inputs say; got {len(binary)}.")
    return found


def _alone(raw: memoryview, classifier: Classifier) -> Sent:
    """A body that is one row of the only input. Raises InvalidInput."""
    specs = classifier.model.input.tensors
    n_free = [spec.shape[1:].count(None) for spec in specs]
    if n_free not in ([0], [1]):
        raise InvalidInput(f"Expected JSON, for {classifier.name} takes more than one tensor of one free size.")
    (spec,) = specs
    datatype = word(spec.dtype)
    if datatype == BYTES:
        return Sent(spec.name, datatype, (1, *(1 for _ in spec.shape[1:])), lambda: of_objects([bytes(raw)]))
    known = n_elements([size for size in spec.shape[1:] if size is not None]) * spec.dtype.itemsize
    shape = (1, *(len(raw) // known if size is None else size for size in spec.shape[1:]))
    return Sent(spec.name, datatype, shape, partial(decode_raw, raw, datatype, shape, at="the body"))


def encode(classifier: Classifier, form: Form, told: Told) -> Answer:
    """The answer's bytes: JSON, and behind it the tensors that the client wants so."""
    outputs, blobs = [], []
    for tensor, is_binary in zip(told.tensors, form.binary, strict=True):
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if is_binary:
            blobs.append(encode_raw(tensor))
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = _listed(tensor)
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": classifier.name, "model_version": classifier.version, "outputs": outputs}
    if form.identity is not None:
        answer["id"] = form.identity
    if told.parameters:
        answer["parameters"] = told.parameters
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    content_type, headers = b"application/json", []
    if blobs:
        content_type, headers = OCTETS, [(LENGTH_HEADER, b"%d" % len(head))]
    body, encoding = deflated(b"".join([head, *blobs]), form.accepts)
    if encoding:
        headers += [(b"content-encoding", encoding), (b"vary", b"accept-encoding")]
    return Answer(body, content_type, headers=headers)


def _listed(tensor: Tensor) -> Any:
    """Its elements as JSON can have them: for what is not finite, which only logits may hold, stands 0."""
    values = tensor.values.ravel()
    if tensor.datatype == BYTES:
        return values.tolist()
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, values.dtype.type(0))
