"""What a user of LitServe writes: a LitAPI with a default session. Its settings are the command line's."""

import argparse
from collections.abc import Sequence
from typing import Any

import litserve
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """One row per request, which is what all servers are sent."""

    def __init__(self, model: str, labels: str, tokenizer: str | None, **options: Any) -> None:
        super().__init__(**options)
        self._model, self._labels_file, self._tokenizer_file = model, labels, tokenizer

    def setup(self, device: str) -> None:
        self._session = onnxruntime.InferenceSession(self._model)
        self._name = self._session.get_inputs()[0].name
        with open(self._labels_file) as file:
            self._labels = file.read().splitlines()
        self._tokenizer = None
        if self._tokenizer_file:
            self._tokenizer = Tokenizer.from_file(self._tokenizer_file)
            self._tokenizer.enable_padding()

    def decode_request(self, request: dict[str, Any]) -> Any:
        (row,) = request["inputs"]
        return row

    def batch(self, inputs: Sequence[Any]) -> Sequence[Any]:
        return inputs

    def predict(self, given: Any) -> NDArray[np.float32]:
        rows = given if self.max_batch_size > 1 else [given]
        if self._tokenizer is None:
            feed = np.array(rows, dtype=np.float32)
        else:
            feed = np.array([text.ids for text in self._tokenizer.encode_batch(rows)], dtype=np.int64)
        logits = self._session.run(None, {self._name: feed})[0]
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float32] = e / e.sum(axis=1, keepdims=True)
        return probabilities if self.max_batch_size > 1 else probabilities[0]

    def unbatch(self, output: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        return {
            "label": self._labels[output.argmax()],
            "probabilities": dict(zip(self._labels, output.tolist(), strict=True)),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--tokenizer")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--max-batch-size", type=int, default=1)
    parser.add_argument("--batch-timeout", type=float, default=0.0)
    parser.add_argument("--fast-queue", action="store_true")
    given = parser.parse_args()
    api = Classifier(
        given.model,
        given.labels,
        given.tokenizer,
        max_batch_size=given.max_batch_size,
        batch_timeout=given.batch_timeout,
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=given.workers, fast_queue=given.fast_queue)
    server.run(host="127.0.0.1", port=given.port, log_level="warning", generate_client_file=False)
