"""
A convolutional member: token vectors, filters over 1 to 4 neighbours, the strongest answer of each filter.

A token's vector is one of its own plus those of its character n-grams over
the root of their number, so that words seen rarely borrow from words spelled
alike. It is the same in every text: `Convolution.folded` is all that ships.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from vocabulary import character_ngrams

UNKNOWN_ID = 1


@dataclass(frozen=True)
class Recipe:
    """How a member is trained; every figure was chosen on the validation rows."""

    dimensions: int = 192
    filters: int = 256
    widths: tuple[int, ...] = (1, 2, 3, 4)
    embedding_dropout: float = 0.2
    feature_dropout: float = 0.5
    word_dropout: float = 0.15
    respelling: float = 0.1
    outliers_per_batch: int = 4
    outlier_weight: float = 0.02
    epochs: int = 12
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2


class Convolution(nn.Module):
    """Token ids, 0 for padding, to logits. At least one padding id must follow each row."""

    def __init__(self, tokens: Sequence[str], n_classes: int, recipe: Recipe) -> None:
        super().__init__()
        spelling = [sorted(set(character_ngrams(token))) for token in tokens]
        columns = {ngram: i for i, ngram in enumerate(sorted({ngram for ngrams in spelling for ngram in ngrams}))}
        self.recipe = recipe
        self.ngrams = torch.tensor([columns[ngram] for ngrams in spelling for ngram in ngrams])
        self.sizes = torch.tensor([len(ngrams) for ngrams in spelling])
        self.starts = self.sizes.cumsum(0) - self.sizes
        self.token_vectors = nn.Parameter(torch.randn(len(tokens), recipe.dimensions) * 0.1)
        self.ngram_vectors = nn.Parameter(torch.randn(len(columns), recipe.dimensions) * 0.1)
        self.filters = nn.ModuleList(
            nn.Conv1d(recipe.dimensions, recipe.filters, width, padding=width - 1) for width in recipe.widths
        )
        self.output = nn.Linear(recipe.filters * len(recipe.widths) + recipe.dimensions, n_classes)

    def table(self, ids: Tensor) -> Tensor:
        """Vectors of these ids; the one of padding is zero."""
        sizes = self.sizes[ids]
        offsets = sizes.cumsum(0) - sizes
        places = torch.repeat_interleave(self.starts[ids] - offsets, sizes) + torch.arange(int(sizes.sum()))
        spelled = functional.embedding_bag(self.ngrams[places], self.ngram_vectors, offsets, mode="sum")
        vectors = functional.embedding(ids, self.token_vectors) + spelled / sizes[:, None].sqrt()
        return vectors * (ids > 0)[:, None]

    def folded(self) -> NDArray[np.float32]:
        """The table of all tokens, by id."""
        with torch.no_grad():
            table: NDArray[np.float32] = self.table(torch.arange(len(self.sizes))).numpy()
        return table

    def forward(self, ids: Tensor) -> Tensor:
        distinct, places = torch.unique(ids, return_inverse=True)
        vectors = self.table(distinct)[places]
        vectors = functional.dropout(vectors, self.recipe.embedding_dropout, self.training)
        bag = vectors.sum(1) / (ids > 0).sum(1, keepdim=True).clamp(min=1).sqrt()
        peaks = [functional.relu(convolve(vectors.transpose(1, 2)).amax(2)) for convolve in self.filters]
        features = functional.dropout(torch.cat([*peaks, bag], 1), self.recipe.feature_dropout, self.training)
        logits: Tensor = self.output(features)
        return logits


def fit_convolution(
    rows: Sequence[list[int]],
    classes: NDArray[np.int64],
    *,
    tokens: Sequence[str],
    spellings: dict[int, list[int]],
    outliers: Sequence[list[int]],
    seed: int,
    recipe: Recipe,
) -> Convolution:
    """Cross-entropy on the rows, and a flat answer on the few out-of-scope ones."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    network = Convolution(tokens, int(classes.max()) + 1, recipe).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1)
    targets = torch.from_numpy(classes)
    for _ in range(recipe.epochs):
        for batch in _batches(rows, recipe.batch, generator):
            drawn = generator.integers(len(outliers), size=recipe.outliers_per_batch)
            texts = [rows[i] for i in batch] + [outliers[i] for i in drawn]
            logits = network(_padded([_distorted(text, spellings, recipe, generator) for text in texts]))
            loss = functional.cross_entropy(logits[: len(batch)], targets[batch])
            flat = -functional.log_softmax(logits[len(batch) :], 1).mean()
            optimizer.zero_grad()
            (loss + recipe.outlier_weight * flat).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def _batches(rows: Sequence[list[int]], size: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Indices in random order, with texts of like length together: padding is time lost."""
    order = generator.permutation(len(rows))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), 16 * size):
        pool = np.array(sorted(order[start : start + 16 * size], key=lambda index: len(rows[index])))
        batches += [pool[i : i + size] for i in range(0, len(pool), size)]
    yield from (batches[i] for i in generator.permutation(len(batches)))


def _distorted(
    row: list[int], spellings: dict[int, list[int]], recipe: Recipe, generator: np.random.Generator
) -> list[int]:
    """Drop some words or make them unknown, and spell some in pieces as if never seen."""
    distorted: list[int] = []
    for token, drop, spell, unknown in zip(row, *generator.random((3, len(row))), strict=True):
        if drop < recipe.word_dropout:
            distorted += [UNKNOWN_ID] if unknown < 0.5 else []
        elif spell < recipe.respelling:
            distorted += spellings.get(token, [token])
        else:
            distorted.append(token)
    return distorted or row


def _padded(rows: Sequence[list[int]]) -> Tensor:
    width = max(len(row) for row in rows) + 1
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])
