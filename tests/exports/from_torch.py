"""Networks of PyTorch as torch.onnx.export writes them. Their graphs end in scores and name no class."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exports.export import Export, of_scores
from exports.from_scikit_learn import split
from exports.sentences import TRAINING, UNSEEN


class Graph(NamedTuple):
    model: bytes
    beside: Mapping[str, bytes]


def to_onnx(
    network: Any,
    example: tuple[Any, ...],
    inputs: list[str],
    output: str,
    *,
    dynamic: tuple[str, ...] = ("batch",),
    external_data: bool = False,
) -> Graph:
    """`dynamic` names the leading sizes that may vary, the same for all inputs. By default the exporter lets none."""
    import torch

    sizes = {axis: torch.export.Dim(name) for axis, name in enumerate(dynamic)}
    network.eval()
    with TemporaryDirectory() as folder:
        torch.onnx.export(
            network,
            example,
            Path(folder, "model.onnx"),
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=tuple(sizes for _ in inputs) if sizes else None,
            external_data=external_data,
            verbose=False,
        )
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return Graph(files.pop("model.onnx"), files)


def fit(network: Any, inputs: tuple[Any, ...], targets: Any, loss: Any, *, steps: int, learning_rate: float) -> Any:
    import torch

    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network(*inputs), targets).backward()
        optimizer.step()
    return network.eval()


def scores(network: Any, *inputs: Any) -> NDArray[Any]:
    import torch

    with torch.no_grad():
        return np.asarray(network(*inputs).numpy())


def seed() -> None:
    """The same weights every time, on one core."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)


def one_logit(*, flat: bool) -> Export:
    """Two classes by one logit, that of the second: (n_rows, 1), or (n_rows,) where it is flattened."""
    import torch
    from sklearn.datasets import load_breast_cancer
    from torch import nn

    seed()
    data = split(load_breast_cancer)
    rows, training = torch.tensor(data.rows).float(), torch.tensor(data.training).float()
    layers = [nn.BatchNorm1d(30), nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), *([nn.Flatten(0)] if flat else [])]
    targets = torch.tensor(data.classes).float().reshape(-1 if flat else (-1, 1))
    loss = nn.BCEWithLogitsLoss()
    network = fit(nn.Sequential(*layers), (training,), targets, loss, steps=60, learning_rate=0.02)
    return Export(
        model=to_onnx(network, (rows[:2],), ["features"], "logit").model,
        rows=data.rows.tolist(),
        probabilities=of_scores(scores(network, rows), activation="sigmoid"),
        labels=("malignant", "benign"),
        output="logit",
        activation="sigmoid",
    )


def one_logit_column() -> Export:
    return one_logit(flat=False)


def one_logit_flat() -> Export:
    return one_logit(flat=True)


def digits(*, example: int = 2, **options: Any) -> Export:
    """A convolutional network on grey images of 8 by 8 pixels from 0 to 1, traced with `example` of them."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    seed()
    data = split(load_digits)
    rows = torch.tensor(data.rows).float().reshape(-1, 1, 8, 8) / 16
    training = torch.tensor(data.training).float().reshape(-1, 1, 8, 8) / 16
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)]
    targets, loss = torch.tensor(data.classes), nn.CrossEntropyLoss()
    network = fit(nn.Sequential(*layers), (training,), targets, loss, steps=40, learning_rate=0.02)
    graph = to_onnx(network, (rows[:example],), ["pixels"], "logits", **options)
    return Export(
        model=graph.model,
        beside=graph.beside,
        rows=rows.numpy().tolist(),
        probabilities=of_scores(scores(network, rows), activation="softmax"),
        labels=tuple("0123456789"),
        output="logits",
        activation="softmax",
    )


def convolution() -> Export:
    return digits()


def convolution_one_at_a_time() -> Export:
    """Fixed to one row, as an export without `dynamic_shapes` of one example is."""
    return digits(example=1, dynamic=())


def convolution_weights_beside() -> Export:
    """With its weights in a second file, the exporter's default however small they are."""
    return digits(external_data=True)


def multi_label(*, sigmoid: bool) -> Export:
    """Which of three statements hold of a wine."""
    import torch
    from sklearn.datasets import load_wine
    from torch import nn

    seed()
    data = split(load_wine)
    rows, training = torch.tensor(data.rows).float(), torch.tensor(data.training).float()
    statements = [data.classes == 0, data.training[:, 0] > 13, data.training[:, 9] > 5]
    targets = torch.tensor(np.stack(statements, axis=1)).float()
    network = nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 3))
    fit(network, (training,), targets, nn.BCEWithLogitsLoss(), steps=60, learning_rate=0.05)
    probabilities = of_scores(scores(network, rows), activation="sigmoid", multi_label=True)
    exported = nn.Sequential(*network, nn.Sigmoid()) if sigmoid else network
    output = "probabilities" if sigmoid else "logits"
    return Export(
        model=to_onnx(exported, (rows[:2],), ["features"], output).model,
        rows=data.rows.tolist(),
        probabilities=probabilities,
        labels=("class_0", "strong", "dark"),
        output=output,
        activation=None if sigmoid else "sigmoid",
        multi_label=True,
    )


def multi_label_logits() -> Export:
    return multi_label(sigmoid=False)


def multi_label_probabilities() -> Export:
    return multi_label(sigmoid=True)


def bert() -> Export:
    """
    A small encoder of BERT's shape, with BERT's inputs and a tokenizer of its own.

    Texts have [CLS] and [SEP] around them, are cut at 24 tokens and filled up with [PAD].
    """
    import torch

    seed()
    tokenizer = word_pieces()
    labels = ("balance", "block", "pay")
    training = encoded(tokenizer, [text for text, _ in TRAINING])
    rows = encoded(tokenizer, UNSEEN)
    targets = torch.tensor([labels.index(intent) for _, intent in TRAINING])
    network = encoder(tokenizer.get_vocab_size(), len(labels))
    fit(network, training, targets, torch.nn.CrossEntropyLoss(), steps=30, learning_rate=3e-3)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    return Export(
        model=to_onnx(network, rows, names, "logits", dynamic=("batch", "sequence")).model,
        rows=UNSEEN,
        probabilities=of_scores(scores(network, *rows), activation="softmax"),
        labels=labels,
        output="logits",
        activation="softmax",
        tokenizer=tokenizer.to_str().encode(),
    )


def word_pieces() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([text for text, _ in TRAINING], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_truncation(24)
    tokenizer.enable_padding()
    return tokenizer


def encoded(tokenizer: Any, texts: list[str]) -> tuple[Any, Any, Any]:
    import torch

    rows = tokenizer.encode_batch(texts)
    return (
        torch.tensor([row.ids for row in rows]),
        torch.tensor([row.attention_mask for row in rows]),
        torch.tensor([row.type_ids for row in rows]),
    )


def encoder(n_tokens: int, n_classes: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads = 32, 4

    class Layer(nn.Module):  # type: ignore[misc]  # torch is Any to mypy, installed or not
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.Linear(width, 3 * width)
            self.mix = nn.Linear(width, width)
            self.forward_in, self.forward_out = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, x: Any, mask: Any) -> Any:
            n_rows, length, _ = x.shape
            query, key, value = (
                part.reshape(n_rows, length, heads, width // heads).transpose(1, 2)
                for part in self.attention(x).chunk(3, dim=-1)
            )
            seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            x = self.first(x + self.mix(seen.transpose(1, 2).reshape(n_rows, length, width)))
            return self.second(x + self.forward_out(functional.gelu(self.forward_in(x))))

    class Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.positions, self.types = (nn.Embedding(n, width) for n in (n_tokens, 64, 2))
            self.norm, self.layers = nn.LayerNorm(width), nn.ModuleList(Layer() for _ in range(2))
            self.pool, self.classify = nn.Linear(width, width), nn.Linear(width, n_classes)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            places = torch.arange(input_ids.shape[1])
            x = self.norm(self.words(input_ids) + self.positions(places) + self.types(token_type_ids))
            mask = (attention_mask[:, None, None, :] - 1).to(x.dtype) * 1e4
            for layer in self.layers:
                x = layer(x, mask)
            return self.classify(torch.tanh(self.pool(x[:, 0])))

    return Encoder()


TORCH: dict[str, Callable[[], Export]] = {
    "one_logit_column": one_logit_column,
    "one_logit_flat": one_logit_flat,
    "convolution": convolution,
    "convolution_one_at_a_time": convolution_one_at_a_time,
    "convolution_weights_beside": convolution_weights_beside,
    "multi_label_logits": multi_label_logits,
    "multi_label_probabilities": multi_label_probabilities,
    "bert": bert,
}
