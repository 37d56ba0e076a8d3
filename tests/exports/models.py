"""Every export by name. The libraries are imported when one is made, so that a test without them can skip."""

import warnings
from functools import cache

from exports.export import Export
from exports.from_boosting import BOOSTING
from exports.from_scikit_learn import SCIKIT_LEARN
from exports.from_torch import TORCH

EXPORTS = {**SCIKIT_LEARN, **BOOSTING, **TORCH}


@cache
def exported(name: str) -> Export:
    """Trained and exported once per run, in a second or two; what the libraries warn of is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EXPORTS[name]()
