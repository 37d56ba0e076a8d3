"""
What softmax, top_k and top_p cost at 200 000 classes, beside plain numpy in the same run.

python tests/bench/bench_selection.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from softgate.numerics.activations import softmax
from softgate.numerics.selection import top_k, top_p

N_CLASSES = 200_000
REPEATS = 31


def median_ms(function: Callable[[], object]) -> float:
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    logits = np.random.default_rng(0).normal(scale=2, size=(1, N_CLASSES)).astype(np.float32)
    probabilities = softmax(logits)
    everything = np.take_along_axis(probabilities, top_k(probabilities, N_CLASSES), axis=1)
    rows: dict[str, Callable[[], object]] = {
        "softmax": lambda: softmax(logits),
        "top_k, k=5": lambda: top_k(probabilities, 5),
        "top_k, k=200000": lambda: top_k(probabilities, N_CLASSES),
        "top_p, p=0.9, of all ranked": lambda: top_p(everything, 0.9),
        "plain np.exp in float64": lambda: np.exp(logits.astype(np.float64)),
        "plain np.argsort of all": lambda: np.argsort(-probabilities, axis=1),
    }
    print(f"1 row of {N_CLASSES} classes, median of {REPEATS} runs")
    for name, function in rows.items():
        print(f"{name:28} {median_ms(function):8.3f} ms")


if __name__ == "__main__":
    main()
