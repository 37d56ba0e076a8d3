"""
What each protocol's requests and answers look like: one description each, for the suite that all of them must pass.

To add one: write a class and name it in DIALECTS, under the name that it has in PROTOCOLS.
"""

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import grpc
import httpx2
import numpy as np

from servers import Served
from softgate.web.errors import PROBLEM_JSON
from softgate.web.grpc.messages import MESSAGES

NUMBERS, TEXTS = "numbers", "texts"
LABELS = ("transfer", "balance", "weather", "joke")

# What may be asked, and the status of it over HTTP.
STATUSES: Mapping[str, object] = {
    "good": 200,
    "bad shape": 400,
    "bad dtype": 400,
    "too many rows": 400,
    "NaN": 400,
    "unknown model": 404,
    "unauthorised": 401,
    "forbidden": 403,
    "overloaded": 429,
    "not ready": 503,
    "deadline": 504,
}

UNNAMED = {"unknown model": "The path names no model: it is the default's."}


def without(statuses: Mapping[str, object], unasked: Collection[str]) -> Mapping[str, object]:
    return {case: status for case, status in statuses.items() if case not in unasked}


@dataclass(frozen=True)
class Question:
    """Rows for a model, fit or not: each protocol sends them as well as it can."""

    model: str
    rows: Sequence[Any]
    """Of numbers or of texts."""
    token: str | None = None
    timeout_ms: int | None = None


@dataclass(frozen=True)
class Reply:
    status: object
    """Of HTTP a number."""
    headers: Mapping[str, str]
    content: Any
    """As the protocol's client reads it."""


@dataclass(frozen=True)
class Row:
    """What is told of one row; None where the protocol does not tell it, or there is nothing to tell."""

    probabilities: Mapping[str, float]
    """Of the labels told."""
    label: str | None = None
    decision: Mapping[str, Any] | None = None


class Dialect(Protocol):
    """A protocol, as a client speaks it."""

    kinds: Collection[str]
    """NUMBERS, TEXTS: what its rows may be."""
    counted: bool
    """Whether its rows are traffic."""
    statuses: Mapping[str, object]
    """Of each case that can be asked in it."""
    unasked: Mapping[str, str]
    """Why each of the others cannot."""

    def ask(self, server: Served, question: Question) -> Reply:
        """One request, and its answer."""

    def rows(self, reply: Reply) -> Sequence[Row]:
        """Of a good answer. Fails where it has another form."""

    def error(self, reply: Reply) -> str:
        """What a refusal says. Fails where it has another form."""


class OverHttp(ABC):
    """What dialects over HTTP share: each adds a path, a body and how to read."""

    kinds: Collection[str] = (NUMBERS, TEXTS)
    counted = True
    statuses = STATUSES
    unasked: Mapping[str, str] = {}
    path = ""

    def ask(self, server: Served, question: Question) -> Reply:
        headers = {} if question.token is None else {"authorization": f"Bearer {question.token}"}
        if question.timeout_ms is not None:
            headers["x-request-timeout-ms"] = str(question.timeout_ms)
        body, more = self.body(question)
        path = self.path.format(model=question.model)
        answer = server.client.post(path, content=body, headers={**headers, **more})
        assert answer.headers["x-request-id"]
        return Reply(answer.status_code, answer.headers, answer)

    @abstractmethod
    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        """The bytes, and the headers that go with them."""


def strict(answer: httpx2.Response) -> Any:
    """Its JSON, which has neither NaN nor Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON.")

    return json.loads(answer.content, parse_constant=refuse)


def problem(reply: Reply) -> str:
    """The detail of an RFC 9457 problem."""
    assert reply.headers["content-type"] == PROBLEM_JSON
    told = strict(reply.content)
    assert told["status"] == reply.status
    assert told["request_id"] == reply.headers["x-request-id"]
    return str(told["detail"])


class Native(OverHttp):
    path = "/v1/models/{model}/predict"

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        return json.dumps({"inputs": question.rows}).encode(), {"content-type": "application/json"}

    def rows(self, reply: Reply) -> Sequence[Row]:
        assert reply.headers["content-type"] == "application/json"
        told = strict(reply.content)["predictions"]
        return [Row(row["probabilities"], row["label"], row["decision"]) for row in told]

    def error(self, reply: Reply) -> str:
        return problem(reply)


class Rank(OverHttp):
    """Each candidate a row, by the probability of one label."""

    counted = False
    path = "/v1/models/{model}/rank"
    label = LABELS[0]

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        return json.dumps({"inputs": question.rows, "label": self.label}).encode(), {}

    def rows(self, reply: Reply) -> Sequence[Row]:
        ranking = sorted(strict(reply.content)["ranking"], key=lambda each: int(each["index"]))
        told = [each["probability"] for each in ranking]
        return [Row({} if probability is None else {self.label: probability}) for probability in told]

    def error(self, reply: Reply) -> str:
        return problem(reply)


class OpenInference(OverHttp):
    path = "/v2/models/{model}/infer"
    # A batch too big is a body too big.
    statuses: Mapping[str, object] = {**STATUSES, "too many rows": 413}

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        named = tensor(question.rows)
        return json.dumps({"inputs": [{**named, "data": question.rows}]}).encode(), {}

    def rows(self, reply: Reply) -> Sequence[Row]:
        assert reply.headers["content-type"] == "application/json"
        outputs = {output["name"]: output["data"] for output in strict(reply.content)["outputs"]}
        return told_rows(outputs["probabilities"], outputs["label"], outputs["decision"])

    def error(self, reply: Reply) -> str:
        assert reply.headers["content-type"] == "application/json"
        told = strict(reply.content)
        assert list(told) == ["error"]
        return str(told["error"])


class OpenInferenceBinary(OpenInference):
    """The same with tensors as bytes behind the JSON, both ways."""

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        named, raw = tensor(question.rows), as_bytes(question.rows)
        parameters = {"binary_data_size": len(raw)}
        asked = {"inputs": [{**named, "parameters": parameters}], "parameters": {"binary_data_output": True}}
        head = json.dumps(asked).encode()
        return head + raw, {"inference-header-content-length": str(len(head))}

    def rows(self, reply: Reply) -> Sequence[Row]:
        assert reply.headers["content-type"] == "application/octet-stream"
        content, start = reply.content.content, int(reply.headers["inference-header-content-length"])
        outputs: dict[str, Any] = {}
        for output in json.loads(content[:start])["outputs"]:
            stop = start + output["parameters"]["binary_data_size"]
            outputs[output["name"]] = content[start:stop]
            start = stop
        assert start == len(content)
        probabilities = np.frombuffer(outputs["probabilities"]).tolist()
        return told_rows(probabilities, strings(outputs["label"]), strings(outputs["decision"]))


class OpenInferenceGrpc:
    """The same over gRPC, its tensors raw."""

    kinds: Collection[str] = (NUMBERS, TEXTS)
    counted = True
    unasked: Mapping[str, str] = {}
    statuses: Mapping[str, object] = {
        "good": grpc.StatusCode.OK,
        **dict.fromkeys(("bad shape", "bad dtype", "NaN"), grpc.StatusCode.INVALID_ARGUMENT),
        **dict.fromkeys(("too many rows", "overloaded"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        "unknown model": grpc.StatusCode.NOT_FOUND,
        "unauthorised": grpc.StatusCode.UNAUTHENTICATED,
        "forbidden": grpc.StatusCode.PERMISSION_DENIED,
        "not ready": grpc.StatusCode.UNAVAILABLE,
        "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
    }

    def ask(self, server: Served, question: Question) -> Reply:
        request = MESSAGES["ModelInferRequest"](
            model_name=question.model,
            inputs=[MESSAGES["InferInputTensor"](**tensor(question.rows))],
            raw_input_contents=[as_bytes(question.rows)],
        )
        if question.timeout_ms is not None:
            request.parameters["timeout"].int64_param = question.timeout_ms * 1000
        metadata = [] if question.token is None else [("authorization", f"Bearer {question.token}")]
        with grpc.insecure_channel(server.grpc) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            # A server that has just been started listens in a moment.
            under_way = call.future(request.SerializeToString(), timeout=30, metadata=metadata, wait_for_ready=True)
            said = {name: str(value) for name, value in under_way.trailing_metadata()}
        assert said["x-request-id"]
        good = under_way.code() == grpc.StatusCode.OK
        return Reply(under_way.code(), said, under_way.result() if good else under_way.details())

    def rows(self, reply: Reply) -> Sequence[Row]:
        told = MESSAGES["ModelInferResponse"].FromString(reply.content)
        names = [output.name for output in told.outputs]
        outputs = dict(zip(names, told.raw_output_contents, strict=True))
        probabilities = np.frombuffer(outputs["probabilities"]).tolist()
        return told_rows(probabilities, strings(outputs["label"]), strings(outputs["decision"]))

    def error(self, reply: Reply) -> str:
        assert reply.headers["softgate-code"]
        return str(reply.content)


def tensor(rows: Sequence[Any]) -> dict[str, Any]:
    """The name, datatype and shape of rows as one tensor of the toy models: by what a row is, fit or not."""
    first = rows[0] if rows else ""
    if not isinstance(first, list):
        return {"name": "text", "datatype": "BYTES" if isinstance(first, str) else "INT64", "shape": [len(rows)]}
    datatype = "BYTES" if isinstance(first[0], str) else "FP32"
    return {"name": "features", "datatype": datatype, "shape": [len(rows), len(first)]}


def as_bytes(rows: Sequence[Any]) -> bytes:
    """The elements of that tensor."""
    flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
    if flat and not isinstance(flat[0], str):
        return np.array(flat, "<f4" if isinstance(rows[0], list) else "<i8").tobytes()
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in flat)


def strings(raw: bytes) -> Sequence[str]:
    """The elements of a BYTES tensor."""
    found = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        found.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return found


def told_rows(probabilities: Sequence[float], labels: Sequence[str], decisions: Sequence[str]) -> Sequence[Row]:
    """Of flat tensors; a row without an answer has no label and zeros."""
    n = len(LABELS)
    return [
        Row(
            dict(zip(LABELS, probabilities[n * row : n * row + n], strict=True)) if label else {},
            label or None,
            json.loads(decision),
        )
        for row, (label, decision) in enumerate(zip(labels, decisions, strict=True))
    ]


class HuggingFace(OverHttp):
    path = "/models/{model}"
    # A batch too big is a body too big.
    statuses: Mapping[str, object] = {**STATUSES, "too many rows": 413}

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        return json.dumps({"inputs": question.rows}).encode(), {}

    def rows(self, reply: Reply) -> Sequence[Row]:
        assert reply.headers["content-type"] == "application/json"
        return [scores(row) for row in strict(reply.content)]

    def error(self, reply: Reply) -> str:
        return error(reply, "error")


class TextEmbeddings(OverHttp):
    kinds: Collection[str] = (TEXTS,)
    path = "/predict"
    statuses: Mapping[str, object] = {**without(STATUSES, UNNAMED), "too many rows": 413}
    unasked: Mapping[str, str] = UNNAMED

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        return json.dumps({"inputs": [[text] for text in question.rows]}).encode(), {}

    def rows(self, reply: Reply) -> Sequence[Row]:
        assert reply.headers["content-type"] == "application/json"
        return [scores(row) for row in strict(reply.content)]

    def error(self, reply: Reply) -> str:
        return error(reply, "error", "error_type")


class Rasa(OverHttp):
    kinds: Collection[str] = (TEXTS,)
    path = "/model/parse"
    unasked: Mapping[str, str] = {**UNNAMED, "too many rows": "A request is of one row."}
    statuses = without(STATUSES, unasked)

    def ask(self, server: Served, question: Question) -> Reply:
        """The first refusal, or all answers."""
        asked = [replace(question, rows=[text]) for text in question.rows] or [question]
        replies = []
        for one in asked:
            replies.append(super().ask(server, one))
            if replies[-1].status != self.statuses["good"]:
                return replies[-1]
        return replace(replies[0], content=[reply.content for reply in replies])

    def body(self, question: Question) -> tuple[bytes, Mapping[str, str]]:
        (text,) = question.rows or [[]]
        return json.dumps({"text": text}).encode(), {}

    def rows(self, reply: Reply) -> Sequence[Row]:
        return [self.row(strict(answer)) for answer in reply.content]

    def row(self, told: Mapping[str, Any]) -> Row:
        intents = {intent["name"]: intent["confidence"] for intent in told["intent_ranking"]}
        name, decision = told["intent"]["name"], told["softgate"]["decision"]
        assert intents[name] == told["intent"]["confidence"]
        assert (name == "nlu_fallback") is (decision["action"] != "route")
        intents.pop("nlu_fallback", None)
        return Row(intents, name if name in intents else None, decision)

    def error(self, reply: Reply) -> str:
        return error(reply, "message", "version", "status", "reason", "details", "help", "code")


def scores(row: Sequence[Mapping[str, Any]]) -> Row:
    """Of labels by name, most probable first."""
    told = {entry["label"]: entry["score"] for entry in row}
    return Row(told, next(iter(told), None))


def error(reply: Reply, said: str, *beside: str) -> str:
    """What `said` holds in a refusal that has no other fields than these."""
    assert reply.headers["content-type"] == "application/json"
    told = strict(reply.content)
    assert told.keys() == {said, *beside}
    return str(told[said])


DIALECTS: Mapping[str, Dialect] = {
    "native": Native(),
    "rank": Rank(),
    "open_inference": OpenInference(),
    "open_inference, binary": OpenInferenceBinary(),
    "hugging_face": HuggingFace(),
    "text_embeddings": TextEmbeddings(),
    "rasa": Rasa(),
    "open_inference, gRPC": OpenInferenceGrpc(),
}
