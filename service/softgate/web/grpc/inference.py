"""`ModelInfer`: its messages to what the wires of the protocol share, and back."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import MalformedBody, ShapeMismatch
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.runtime.inputs import numbers
from softgate.web.grpc.messages import MESSAGES
from softgate.web.protocols.open_inference.datatypes import BYTES, DATATYPES
from softgate.web.protocols.open_inference.inference import (
    Inference,
    Sent,
    find,
    no_shared_memory,
    output_parameters,
    parameters,
    rows,
)
from softgate.web.protocols.open_inference.outputs import Told, Wanted, wanted
from softgate.web.protocols.open_inference.tensors import Tensor, decode_raw, encode_raw, n_elements, of_objects
from softgate.web.protocols.protocol import Answer, Call

# Where a message has the elements of each datatype; of FP16 nowhere, so they are raw.
_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
_CHOICE = "parameter_choice"
_SHARED_MEMORY = "shared_memory_region"
MOST_CHARACTERS = 128
"""Of an id."""


def call(request: Any, catalogue: Catalogue, *, started: float, expires_at: float) -> Call:
    """What a ModelInferRequest asks for. Raises SoftgateError. The times are those of the clock."""
    classifier = find(catalogue, request.model_name, request.model_version or None)
    if not classifier.degrades:
        # A fallback is for rows: those have to be read first.
        classifier.admit(seconds_left=expires_at - started)
    inference = read(request, classifier)
    encoding = partial(encode, classifier, request.id, bool(request.raw_input_contents))
    return inference.call(classifier, encoding, started=started)


def read(request: Any, classifier: Classifier) -> Inference:
    """Raises InvalidInput and UnsupportedExtension."""
    if len(request.id) > MOST_CHARACTERS:
        raise MalformedBody(f"Expected an id of at most {MOST_CHARACTERS} characters; got {len(request.id)}.")
    asked = [(each.name, _values(each.parameters)) for each in request.outputs]
    chosen = wanted(Wanted(name, output_parameters(said).classification) for name, said in asked)
    own = parameters(_values(request.parameters))
    return Inference(rows(sent(request), classifier), chosen, own)


def sent(request: Any) -> Sequence[Sent]:
    """Its tensors. Raises InvalidInput and UnsupportedExtension."""
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        n_inputs = len(request.inputs)
        raise MalformedBody(f"Expected raw contents for each of the {n_inputs} inputs or for none; got {len(raws)}.")
    found = []
    for place, each in enumerate(request.inputs):
        at, shape = f"inputs[{place}]", tuple(each.shape)
        _values(each.parameters)
        if any(size < 0 for size in shape):
            raise ShapeMismatch(f"In {at}: Expected a shape without negative sizes.")
        if not raws:
            decoding = partial(decode_contents, each.contents, each.datatype, shape, at=at)
        elif each.HasField("contents"):
            raise MalformedBody(f"In {at}: Expected no contents beside raw ones.")
        else:
            decoding = partial(decode_raw, memoryview(raws[place]), each.datatype, shape, at=at)
        found.append(Sent(each.name, each.datatype, shape, decoding))
    return found


def decode_contents(contents: Any, datatype: str, shape: Sequence[int], *, at: str) -> NDArray[Any]:
    """The elements of a typed tensor, flat. Raises InvalidInput."""
    wanted_field = _CONTENTS.get(datatype)
    if wanted_field is None:
        raise MalformedBody(f"In {at}: Expected {datatype} as raw contents; a message has no others for it.")
    if any(field.name != wanted_field for field, _ in contents.ListFields()):
        raise MalformedBody(f"In {at}: Expected the elements of {datatype} in {wanted_field}, and none beside it.")
    values, size = getattr(contents, wanted_field), n_elements(shape)
    if len(values) != size:
        raise ShapeMismatch(f"In {at}: Expected {size} elements, as its shape says; got {len(values)}.")
    if datatype == BYTES:
        return of_objects(values)
    dtype = DATATYPES[datatype]
    # Small integers come as larger ones.
    exact = np.array(values, dtype=np.int64) if dtype.kind in "iu" and dtype.itemsize < 8 else None
    if exact is None:
        return np.array(values, dtype=dtype)
    array = exact.astype(dtype)
    if (array != exact).any():
        raise numbers.misfit(dtype, place=f"element {int(np.argmax(array != exact))} of {at}")
    return array


def encode(classifier: Classifier, identity: str, raw: bool, told: Told) -> Answer:
    """The answer's bytes: raw where the request was so, or where a message has no other way for one of its outputs."""
    answer = MESSAGES["ModelInferResponse"](model_name=classifier.name, model_version=classifier.version, id=identity)
    for name, value in told.parameters.items():
        answer.parameters[name].string_param = value
    all_raw = raw or any(tensor.datatype not in _CONTENTS for tensor in told.tensors)
    for tensor in told.tensors:
        output = answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if all_raw:
            answer.raw_output_contents.append(encode_raw(tensor))
        else:
            getattr(output.contents, _CONTENTS[tensor.datatype]).extend(_elements(tensor))
    return Answer(answer.SerializeToString())


def _elements(tensor: Tensor) -> Sequence[Any]:
    values: list[Any] = tensor.values.ravel().tolist()
    if tensor.datatype != BYTES:
        return values
    return [value.encode() if isinstance(value, str) else value for value in values]


def _values(said: Mapping[str, Any]) -> Mapping[str, object]:
    """Of a map of parameters. Raises UnsupportedExtension."""
    if not said:
        return {}
    if _SHARED_MEMORY in said:
        raise no_shared_memory()
    chosen = {name: each.WhichOneof(_CHOICE) for name, each in said.items()}
    return {name: getattr(said[name], choice) for name, choice in chosen.items() if choice is not None}
