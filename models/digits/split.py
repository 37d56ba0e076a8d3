"""
The digits that come with scikit-learn as PNG images, in three parts; write one as a folder per digit.

    python models/digits/split.py --split val --output build/digits-val
"""

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

# Of every five images of a digit, in the data's order: one to test with, one to choose by, three to learn from.
PARTS = ("test", "val", "train", "train", "train")
WHITE, MOST = 255, 16


def read_split(split: str) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Pixels (n_rows, 8, 8) from 0, black, to 255, white, and the digits they show."""
    data = load_digits()
    classes = data.target.astype(np.intp)
    rank = np.zeros(len(classes), np.intp)
    for digit in range(10):
        rank[classes == digit] = np.arange((classes == digit).sum())
    chosen = np.array(PARTS)[rank % len(PARTS)] == split
    pixels = np.rint(data.images[chosen] * WHITE / MOST).astype(np.uint8)
    return pixels, classes[chosen]


def png(pixels: NDArray[np.uint8]) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=sorted(set(PARTS)), default="val")
    parser.add_argument("--output", type=Path, required=True, help="folder to write OUTPUT/DIGIT/NNNN.png into")
    arguments = parser.parse_args()
    for place, (pixels, digit) in enumerate(zip(*read_split(arguments.split), strict=True)):
        folder = arguments.output / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place:04}.png").write_bytes(png(pixels))


if __name__ == "__main__":
    main()
