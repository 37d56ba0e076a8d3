"""
Make the digit classifier from scikit-learn's own copy of the data: labels.txt, 1/model.onnx and digit.png.

    python models/digits/train.py

Logistic regression on the likeness of an image to each of those it has learnt
from, exp(-gamma · squared distance). What is like none of them has no likeness
to speak of, hence logits near the bias and a low confidence.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from split import MOST, WHITE, png, read_split
from threadpoolctl import threadpool_limits

# Chosen on the validation images, by likelihood.
GAMMA, C = 0.0015, 1000.0
OPSET = 17
IR_VERSION = 8
N_PIXELS, N_DIGITS = 64, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="model folder to write into")
    output = parser.parse_args().output
    # More threads add in another order, and round the weights differently.
    with threadpool_limits(limits=1):
        images, weights, bias = fit()
    (output / "1").mkdir(parents=True, exist_ok=True)
    (output / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(N_DIGITS)), encoding="utf-8")
    onnx.save(build_model(images, weights, bias), output / "1" / "model.onnx")
    (output / "digit.png").write_bytes(png(read_split("test")[0][3]))


def fit() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The images learnt from (n_images, 64), and by image and digit what a likeness to it is worth."""
    pixels, classes = read_split("train")
    # What the card makes of a PNG: 0 to 16 again, but for the rounding.
    images = pixels.reshape(-1, N_PIXELS) * (MOST / WHITE)
    regression = LogisticRegression(C=C, max_iter=5000, tol=1e-6)
    regression.fit(rbf_kernel(images, gamma=GAMMA), classes)
    return images, regression.coef_.T, regression.intercept_


def build_model(
    images: NDArray[np.float64], weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> onnx.ModelProto:
    """`pixels` float32 (rows, 1, 8, 8) to `logits` float32 (rows, 10)."""
    constants: dict[str, NDArray[np.generic]] = {
        "flat": np.array([-1, N_PIXELS], np.int64),
        "last": np.array([1], np.int64),
        # -gamma |x - image|² = 2 gamma x·image - gamma |x|² - gamma |image|²
        "directions": (2 * GAMMA * images.T).astype(np.float32),
        "lengths": (-GAMMA * np.square(images).sum(axis=1)).astype(np.float32),
        "minus_gamma": np.array(-GAMMA, np.float32),
        "weights": weights.astype(np.float32),
        "bias": bias.astype(np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "directions"], ["products"]),
        helper.make_node("Mul", ["rows", "rows"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last"], ["length"]),
        helper.make_node("Mul", ["length", "minus_gamma"], ["own"]),
        helper.make_node("Add", ["products", "lengths"], ["partly"]),
        helper.make_node("Add", ["partly", "own"], ["exponents"]),
        helper.make_node("Exp", ["exponents"], ["likeness"]),
        helper.make_node("MatMul", ["likeness", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", N_DIGITS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    main()
