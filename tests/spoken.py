"""Models whose decisions can be worked out by hand, and protocols spoken to without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from onnx import helper

from graphs import (
    LABELS,
    VOTES,
    WORDS,
    bag_of_tokens,
    bag_of_words,
    graph,
    linear,
    logarithm,
    looked_up,
    tensor,
    word_tokenizer,
    write_calibration,
    write_model,
)
from servers import Served
from softgate.policy.batch import Part
from softgate.policy.catalogue import Catalogue, section
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import fields
from softgate.runtime.counts import Layout
from softgate.runtime.repository import find_bundles
from softgate.web.protocols import PROTOCOLS, Call, Request

BANKING = {"transfer": "banking", "balance": "banking"}
TEMPERATURE = 2.0
# Decision → a text that `words` decides so; the logits are the sums of its words' votes.
TEXTS = {
    "route": "send",
    "clarify": "rain joke",
    "fallback": "balance rain joke",
    "abstain": "hello",
}
# Weather alone is the most probable label, and the two of banking together are more probable still.
TOGETHER = "send balance send balance rain rain rain"


def votes(text: str) -> Any:
    """The logits of a text, its unknown words left out."""
    return sum((VOTES[WORDS.index(word)] for word in text.split() if word in WORDS), np.zeros(len(LABELS)))


def logarithm_of_words() -> bytes:
    """input_ids → ln of the sum of the tokens' votes: minus infinity for every label that has none."""
    nodes = [
        helper.make_node("Gather", ["votes", "input_ids"], ["voted"], axis=0),
        helper.make_node("ReduceSum", ["voted", "tokens_axis"], ["summed"], keepdims=0),
        helper.make_node("Log", ["summed"], ["logits"]),
    ]
    return graph(
        nodes,
        [tensor("input_ids", np.int64, "batch", "tokens")],
        [tensor("logits", np.float32, "batch", len(LABELS))],
        {"votes": VOTES, "tokens_axis": np.array([1], dtype=np.int64)},
    )


def write_models(folder: Path) -> Path:
    eye = linear(np.eye(4, dtype=np.float32))
    text: dict[str, Any] = {"kind": "text", "tokenizer": word_tokenizer(), "routes": BANKING}
    write_model(folder / "words", bag_of_words(), name="words", routing="threshold = 0.54\nclarify = 2", **text)
    write_calibration(folder / "words", temperature=TEMPERATURE, gate=3.0, set_quantile=0.7)
    write_model(folder / "pairs", bag_of_tokens(), name="pairs", **text)
    write_model(folder / "several", bag_of_words(), name="several", activation="sigmoid", **text)
    write_model(folder / "infinite", logarithm_of_words(), name="infinite", **text)
    write_model(folder / "degraded", bag_of_words(), name="degraded", routing="degraded = true", **text)
    write_model(folder / "strings", looked_up("batch"), name="strings", kind="text")
    write_model(folder / "identity", eye, name="identity")
    write_model(folder / "logarithm", logarithm(4), name="logarithm")
    return folder


@contextmanager
def catalogue_of(folder: Path, *, default: str | None = None) -> Iterator[Catalogue]:
    """The models of a folder, ready to answer."""
    bundles = find_bundles(folder)
    layout = Layout({section(bundle): fields(axes(bundle)) for bundle in bundles})
    row = np.zeros(layout.width)
    found = Catalogue(bundles, lambda name: layout.view(row, name), default=default)
    found.load(threads=1, clock=lambda: 0.0, max_rows=8)
    try:
        yield found
    finally:
        found.close()


def call(catalogue: Catalogue, protocol: str, path: str, body: object) -> Call:
    """What a body comes to."""
    spoken = PROTOCOLS[protocol](catalogue)
    named = spoken.match("POST", path)
    assert named is not None, path
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return spoken.read(Request(*named, content_type=b"application/json", headers=(), body=content, started=0.0))


def answered(catalogue: Catalogue, protocol: str, path: str, body: object) -> Any:
    """The answer to it, by the edge's own steps."""
    found = call(catalogue, protocol, path, body)
    predictions = found.classifier.predict_now(found.rows)
    return orjson.loads(found.encode(Part.whole(found.classifier, predictions)).body)


def counted(server: Served) -> list[float]:
    """Rows and decisions of `words` so far."""
    names = ("softgate_rows_total", "softgate_decisions_total")
    metrics = server.metrics()
    return [
        sum(value for key, value in metrics.items() if key.startswith(name) and 'model="words"' in key)
        for name in names
    ]
