"""Real data for tests: the folder `shared` beside the repository, or wherever SOFTGATE_SHARED points."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools import absent


def shared(*parts: str) -> Path:
    """The path of shared data; where it is absent the test is skipped, or fails if SOFTGATE_REQUIRE_ALL=1."""
    folder = Path(os.environ.get("SOFTGATE_SHARED") or Path(__file__).parents[1].parent / "shared")
    path = folder.joinpath(*parts)
    return path if path.exists() else absent(f"{path} is absent: set SOFTGATE_SHARED to the folder of shared data.")


def clinc_logits(model: str) -> dict[str, NDArray[Any]]:
    """Logits of a baseline on CLINC150: `val`, `test` of shape (n_rows, 150), `y_val`, `y_test`, and more."""
    with np.load(shared("data", "logits", f"clinc_{model}.npz")) as arrays:
        return dict(arrays)
