"""
Make the intent classifier from the CLINC150 data: labels.txt, tokenizer.json and 1/model.onnx.

    python models/clinc150/train.py --data PATH/clinc150

Learns from `train` and `oos_train` alone. The members see different things,
so their mean knows more than each: a linear one sees spelling and word pairs,
two convolutional ones see order. Figures: evaluate.py.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from convolution import Recipe, fit_convolution
from graph import build_model
from linear import fit_linear
from vocabulary import build_tokenizer, spellings, tokens_of

SEEDS = (0, 1)
# The size of a margin in logits: without it the linear member would hardly count in the mean.
MARGIN_SCALE = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with data_full.json")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="model folder to write into")
    parser.add_argument("--threads", type=int, default=1, help="another number rounds the weights differently")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    train(arguments.data, arguments.output)


def train(data: Path, output: Path) -> None:
    """Fit the members and write the three files."""
    splits = json.loads((data / "data_full.json").read_text(encoding="utf-8"))
    texts, names = zip(*splits["train"], strict=True)
    labels = sorted(set(names))
    classes = np.array([labels.index(name) for name in names])
    tokenizer = build_tokenizer(texts)
    tokens = tokens_of(tokenizer)
    rows = [tokenizer.encode(text).ids for text in texts]
    outliers = [tokenizer.encode(text).ids for text, _ in splits["oos_train"]]
    linear = fit_linear(rows, classes, tokens=tokens, seed=SEEDS[0])
    convolutions = [
        fit_convolution(
            rows, classes, tokens=tokens, spellings=spellings(tokens), outliers=outliers, seed=seed, recipe=Recipe()
        )
        for seed in SEEDS
    ]
    (output / "1").mkdir(parents=True, exist_ok=True)
    (output / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    tokenizer.save(str(output / "tokenizer.json"))
    onnx.save(build_model(linear, convolutions, margin_scale=MARGIN_SCALE), output / "1" / "model.onnx")


if __name__ == "__main__":
    main()
