"""What a user of MLServer writes: a custom runtime with a default session, its codecs, V2 tensors in and out."""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from tokenizers import Tokenizer


class Classifier(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        extra = self.settings.parameters.extra
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        self._name = self._session.get_inputs()[0].name
        with open(extra["labels"]) as file:
            self._labels = np.array(file.read().splitlines())
        self._tokenizer = None
        if extra["tokenizer"]:
            self._tokenizer = Tokenizer.from_file(extra["tokenizer"])
            self._tokenizer.enable_padding()
        return True

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        (sent,) = request.inputs
        if self._tokenizer is None:
            rows = NumpyCodec.decode_input(sent).astype(np.float32, copy=False)
        else:
            texts = self._tokenizer.encode_batch(StringCodec.decode_input(sent))
            rows = np.array([text.ids for text in texts], dtype=np.int64)
        logits = self._session.run(None, {self._name: rows})[0]
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = e / e.sum(axis=1, keepdims=True)
        labels = self._labels[probabilities.argmax(axis=1)]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("probabilities", probabilities),
                StringCodec.encode_output("label", labels.tolist()),
            ],
        )
