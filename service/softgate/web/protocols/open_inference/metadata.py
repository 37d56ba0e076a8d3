"""What is told of the server and of its models, whatever the wire."""

from collections.abc import Sequence

import orjson

from softgate import __version__
from softgate.policy.catalogue import LOADING, Catalogue
from softgate.policy.classifier import Classifier
from softgate.types import TensorSpec
from softgate.web.protocols.open_inference.datatypes import BYTES, word
from softgate.web.protocols.open_inference.outputs import specs
from softgate.web.schema.open_inference import (
    Configuration,
    ConfigurationTensor,
    DynamicBatching,
    IndexEntry,
    MetadataTensor,
    ModelMetadata,
    Server,
)

NAME = "softgate"
PLATFORM = "onnx_onnxv1"
# Triton's own words for the same.
BACKEND, BACKEND_PLATFORM = "onnxruntime", "onnxruntime_onnx"
OVER_GRPC = ("binary_tensor_data", "classification", "parameters")
OVER_HTTP = (*OVER_GRPC, "model_configuration", "statistics")
REPOSITORY = ("model_repository", "model_repository(unload_dependents)")
"""Where models may be loaded and unloaded."""
UNLOADED = "unloaded"


def server(extensions: Sequence[str], *, admin: bool) -> Server:
    return Server(name=NAME, version=__version__, extensions=[*extensions, *(REPOSITORY if admin else ())])


def model(classifier: Classifier) -> ModelMetadata:
    bundle = classifier.model.bundle
    return ModelMetadata(
        name=classifier.name,
        versions=[classifier.version],
        platform=PLATFORM,
        inputs=[_tensor(spec) for spec in classifier.model.input.tensors],
        outputs=[_tensor(spec) for spec in specs(classifier)],
        properties={
            "activation": bundle.card.activation,
            "calibration": classifier.calibration_id or "",
            "labels": orjson.dumps(classifier.labels).decode(),
            "sha256": bundle.model_sha256,
        },
    )


def configuration(classifier: Classifier) -> Configuration:
    """In the form that Triton gives a model's."""
    serving = classifier.model.bundle.card.serving
    return Configuration(
        name=classifier.name,
        platform=BACKEND_PLATFORM,
        backend=BACKEND,
        max_batch_size=serving.max_batch,
        input=[_configured(spec) for spec in classifier.model.input.tensors],
        output=[_configured(spec) for spec in specs(classifier)],
        dynamic_batching=DynamicBatching(
            preferred_batch_size=[serving.max_batch],
            max_queue_delay_microseconds=round(serving.max_delay_ms * 1000),
        ),
    )


def index(catalogue: Catalogue, *, ready: bool) -> Sequence[IndexEntry]:
    """By name: those that are served and those that were; `ready`: only those that answer."""
    entries = [_entry(name, bundle.version, catalogue.waiting.get(name)) for name, bundle in catalogue.bundles.items()]
    entries += [_entry(name, was.version, UNLOADED) for name, was in catalogue.unloaded.items()]
    return sorted((each for each in entries if each.state == "READY" or not ready), key=lambda each: each.name)


def _entry(name: str, version: str, missing: str | None) -> IndexEntry:
    """`missing`: why it does not answer."""
    if missing is None:
        return IndexEntry(name=name, version=version, state="READY", reason="")
    if missing == LOADING:
        return IndexEntry(name=name, version=version, state="LOADING", reason="")
    return IndexEntry(name=name, version=version, state="UNAVAILABLE", reason=missing)


def _tensor(spec: TensorSpec) -> MetadataTensor:
    """A graph of a fixed batch takes any number of rows here."""
    return MetadataTensor(name=spec.name, datatype=word(spec.dtype), shape=[-1, *_sizes(spec)])


def _configured(spec: TensorSpec) -> ConfigurationTensor:
    datatype = word(spec.dtype)
    return ConfigurationTensor(
        name=spec.name, data_type=f"TYPE_{'STRING' if datatype == BYTES else datatype}", dims=_sizes(spec)
    )


def _sizes(spec: TensorSpec) -> list[int]:
    """Of a row."""
    return [-1 if size is None else size for size in spec.shape[1:]]
