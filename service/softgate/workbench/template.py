"""The card that `softgate init` writes: complete, each line saying what it is for."""

import json
from collections.abc import Mapping, Sequence

from softgate.runtime.card import MAX_BATCH, MAX_BATCH_OF_OTHERS
from softgate.workbench.inspect import Inspection, Output, Tensor

MULTI_LABEL = "sigmoid"
CARD = """\
# Written by softgate init for {file}: {producer}; it takes {inputs}.
name = {name}
activation = {activation}
# version = 1                       # pin one; else the highest is served
{external_data}
[input]
kind = {kind}
{input_lines}

[output]
{tensor}kind = {holds}

[routing]
fallback = "human"                  # where a row goes that no {route} is sure of
# abstain = "human"                 # where a row goes that is out of scope
# threshold = 0.8                   # least probability of a {route}; overrides a fitted one
precision = 0.95                    # promise of a fitted threshold: this share of what is routed is right ...
risk = 0.1                          # ... broken with at most this chance over the draw of the data
out_of_scope = 0.05                 # share of in-scope rows that the out-of-scope gate may turn away
coverage = 0.95                     # of the prediction set
clarify = 3                         # ask back when the prediction set spans 2 to so many routes; 0: never
degraded = false                    # true: answer with a fallback, not an error, where the model cannot answer
{priority}
[routing.routes]                    # label -> route; a label without one is its own route
# {first} = "somewhere"

# [routing.thresholds]              # {route} -> its own threshold, before any other
# {last} = 0.9

# [routing.profiles.high_risk]      # a promise of its own, for requests that name this profile
# precision = 0.99
# risk = 0.05

[serving]
max_batch = {max_batch}                      # most rows in one run of the graph
max_delay_ms = 0                    # how long an idle model waits for more rows
max_queue = 1024                    # rows that may wait; more are refused
max_queue_ms = 1000                 # what would wait longer, by the pace of the runs before, is refused
max_padded_tokens = 4096            # most tokens in one call, padding counted, of a graph that takes token ids
threads = 0                         # that share one run; 0: as many as there are CPUs for, if they pay, else 1
parallel_runs = 0                   # at a time, on threads; 0: as many as there are CPUs for, if they pay, else 1
run_on = "auto"                     # where the graph runs: loop, thread, or what costs less, measured at the start

[monitoring]
alarm_every = 10000                 # at most one false drift alarm per so many rows, on average
# mean_confidence_above = 0.95      # plain rules, told beside the alarm: a mean or a share out of bounds
# mean_confidence_below = 0.20
# non_finite_above = 0.001
# below_threshold_above = 0.5       # where these two are not given: the calibration's own share and 0.15
# clarify_above = 0.5
"""
INPUT_LINES: Mapping[str, str] = {
    "tensor": """\
# tensor = "features"               # name of the graph's input, where the card should hold it to it
# columns = ["age", "height"]       # names of the features of one matrix: rows may be objects then
# missing = true                    # null stands for a number that is not known (NaN)""",
    "text": """\
# tensor = "input_ids"              # names of the graph's inputs, where they have others
# attention_mask = "attention_mask"
# token_type_ids = "token_type_ids"
max_tokens = 512                    # a text is cut after so many tokens, or where tokenizer.json cuts it""",
    "image": """\
# size = [224, 224]                 # height, width; default: the graph's own
# tensor = "pixels"                 # name of the graph's input
# layout = "nchw"                   # nchw | nhwc; default: where the graph settles it
# resample = "bilinear"             # bilinear | bicubic | nearest
# color = "rgb"                     # rgb | bgr | grayscale; default: by the number of channels
# scale = 0.00392156862745098       # x = (pixel * scale - mean) / std
# mean = [0.485, 0.456, 0.406]
# std = [0.229, 0.224, 0.225]
# fit = "stretch"                   # stretch | crop""",
}


def render(found: Inspection, *, name: str, answer: Output, activation: str, labels: Sequence[str], kind: str) -> str:
    """classifier.toml for this graph."""
    carrying = [output for output in found.outputs if output.holds not in (None, "label", "labels")]
    # Two of them: where the first is sent elsewhere, it is no longer a route that may have a threshold.
    first, last = (json.dumps(label, ensure_ascii=False) for label in (labels[0], labels[-1]))
    several = activation == MULTI_LABEL
    return CARD.format(
        file=_one_line(found.file),
        producer=_one_line(found.producer) or "no producer named",
        inputs=_one_line(shown(found.inputs)),
        name=json.dumps(name),
        activation=json.dumps(activation),
        external_data=_external_data(found.external_data),
        kind=json.dumps(kind),
        max_batch=MAX_BATCH.get(kind, MAX_BATCH_OF_OTHERS),
        input_lines=INPUT_LINES[kind],
        tensor=f"tensor = {json.dumps(answer.name, ensure_ascii=False)}\n" if len(carrying) > 1 else "",
        holds=json.dumps(answer.holds),
        route="label" if several else "route",
        priority=f"# priority = [{first}]   # of several labels that hold, those that count first\n" if several else "",
        first=first,
        last=last,
    )


def _external_data(names: Sequence[str]) -> str:
    listed = f"external_data = {json.dumps(list(names), ensure_ascii=False)}"
    return f"{listed:<35} # files beside model.onnx that hold its weights\n" if names else ""


def shown(tensors: Sequence[Tensor]) -> str:
    """Tensors as messages and comments name them."""
    return ", ".join(f"{tensor.name} {tensor.type} [{_sizes(tensor.shape)}]" for tensor in tensors)


def _sizes(shape: Sequence[int | None]) -> str:
    return ", ".join("any" if size is None else str(size) for size in shape)


def _one_line(text: str) -> str:
    """What a stranger's file says of itself must not break out of a comment."""
    return "".join(character if character.isprintable() else " " for character in text)[:200]
