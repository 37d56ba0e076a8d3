"""
Make the multi-label classifier from NLU++ hotels: labels.txt, tokenizer.json and 1/model.onnx.

    python models/hotel-requests/train.py --data PATH/nlupp-hotels

Learns from all 20 folds. What that is worth, by cross-validation: evaluate.py.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from detectors import fit_detectors
from graph import build_model
from numpy.typing import NDArray
from tokenizers import Tokenizer
from wordpieces import build_tokenizer, tokens_of

N_FOLDS = 20


@dataclass(frozen=True)
class Requests:
    """The rows of all folds; `holds` is (rows, labels), and a row may hold no label at all."""

    texts: tuple[str, ...]
    folds: NDArray[np.int64]
    labels: tuple[str, ...]
    holds: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with fold0.json to fold19.json")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="model folder to write into")
    arguments = parser.parse_args()
    requests = read_requests(arguments.data)
    tokenizer, model = fit(requests.texts, requests.holds)
    (arguments.output / "1").mkdir(parents=True, exist_ok=True)
    names = "".join(f"{label}\n" for label in requests.labels)
    (arguments.output / "labels.txt").write_text(names, encoding="utf-8")
    tokenizer.save(str(arguments.output / "tokenizer.json"))
    onnx.save(model, arguments.output / "1" / "model.onnx")


def read_requests(data: Path) -> Requests:
    folds = [json.loads((data / f"fold{fold}.json").read_text(encoding="utf-8")) for fold in range(N_FOLDS)]
    rows = [row for fold in folds for row in fold]
    labels = sorted({label for row in rows for label in row.get("intents", [])})
    return Requests(
        texts=tuple(row["text"] for row in rows),
        folds=np.repeat(np.arange(N_FOLDS), [len(fold) for fold in folds]),
        labels=tuple(labels),
        holds=np.array([[label in row.get("intents", []) for label in labels] for row in rows]),
    )


def fit(texts: Sequence[str], holds: NDArray[np.bool_]) -> tuple[Tokenizer, onnx.ModelProto]:
    """Everything is learnt from these rows, the vocabulary too."""
    tokenizer = build_tokenizer(texts)
    rows = [tokenizer.encode(text).ids for text in texts]
    return tokenizer, build_model(fit_detectors(rows, holds, tokens=tokens_of(tokenizer)))


if __name__ == "__main__":
    main()
