"""What a person should look at before trusting a calibration."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from softgate.workbench.calibrate.account import Found
from softgate.workbench.calibrate.fit import Fit
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.limits import Limits

# Labels of people are wrong in a few rows of a hundred; more than this is rarely theirs.
MUCH_NOISE = 0.1
# Less changes no probability that a person reads, so that a worse loss has another reason.
LITTLE_NOISE = 0.001
# In nats. On rows that are calibrated as they stand, the fit's own share of noise costs up to 0.004.
MUCH_LOSS = 0.01
# The standard deviation of T is 6 to 13 % at 300 rows, and twice that at 100, measured on three models of 150 classes.
FEW_ROWS = 300

# Why there is no gate, where the card says that there could be one.
LOG_SOFTMAX = "the graph exports log-softmax as logits: the softmax took away how familiar a row is"
SOFTMAX = "the graph exports probabilities as logits, and they do not say how familiar a row is"


def doubts(found: Found, rows: Labelled, quality: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Sentences. `rows`: those fitted; `quality`: before and after."""
    return [*_rows(rows), *_noise(found.fit, found.plain, quality["before"], quality["after"]), *_limits(found.limits)]


def _rows(rows: Labelled) -> Iterator[str]:
    n_rows = int(rows.in_scope.sum())
    if n_rows < FEW_ROWS:
        yield f"From {n_rows} rows T is uncertain by a tenth and more; wanted at least {FEW_ROWS}."
    if not rows.several and len(np.unique(rows.truth[rows.in_scope])) == 1:
        yield "All rows have one label; wanted rows of every label, as they occur."


def _noise(found: Fit, plain: Fit | None, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """
    The robust fit cannot tell a wrong label from a confident error of the model.

    Where it takes many rows for mislabelled, or makes the labels as they stand clearly less likely than no calibration
    does, a person must say which of the two they are.
    """
    worse = after.get("nll", 0.0) > before.get("nll", np.inf) + MUCH_LOSS
    if plain is not None and found.noise and (found.noise > MUCH_NOISE or (worse and found.noise > LITTLE_NOISE)):
        yield (
            f"The fit takes {found.noise:.1%} of the labels for wrong. If they are right, the model errs with "
            f"confidence, and --plain is the fit to use: it gives T = {plain.temperature:.4g}."
        )


def _limits(limits: Limits) -> Iterator[str]:
    if limits.no_gate in {LOG_SOFTMAX, SOFTMAX}:
        yield f"No out-of-scope gate: {limits.no_gate}."
