"""
What a graph answers → logits of shape (n_rows, n_classes).

The card says what the output is; it is never guessed from its values or its shape.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Output = NDArray[np.floating]
ToLogits = Callable[[Output], Output]

# An exact zero (a forest votes so) must stay finite, and T must still mean something.
LEAST_PROBABILITY = 1e-12


def from_logits(output: Output) -> Output:
    """Raw scores stay as they are."""
    return output


def from_probabilities(output: Output) -> Output:
    """ln max(p, 1e-12): at T = 1 the softmax of it is p again."""
    return np.log(np.maximum(output.astype(np.float64), LEAST_PROBABILITY))


def from_log_probabilities(output: Output) -> Output:
    """
    A logit shifted by its row's log-sum-exp, which no softmax sees.

    Where p underflowed to 0, the least that keeps the order: ln 1e-12, or the row's least finite value below it.
    """
    zero = np.isneginf(output)
    if not zero.any():
        return output
    least = np.where(zero, np.log(LEAST_PROBABILITY), output).min(axis=1, keepdims=True)
    return np.where(zero, np.minimum(least, np.log(LEAST_PROBABILITY)), output).astype(output.dtype)


# To add one: write the function above and name it here. The key is the card's `output.kind`.
OUTPUTS: Mapping[str, ToLogits] = {
    "logits": from_logits,
    "probabilities": from_probabilities,
    "log_probabilities": from_log_probabilities,
}
# Only raw scores carry an energy: the log-sum-exp of a log-softmax is zero for every row.
KINDS_WITH_ENERGY = frozenset({"logits"})
