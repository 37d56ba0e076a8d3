"""Writes 1/golden.json: the sentences of examples.txt with the logits that the graph gives them now."""

from pathlib import Path

import numpy as np

from softgate.runtime.golden import Golden, write_golden
from softgate.runtime.repository import Model, read_bundle

FOLDER = Path(__file__).parent

if __name__ == "__main__":
    model = Model(read_bundle(FOLDER, calibrated=False), threads=1)
    rows = [line for line in (FOLDER / "examples.txt").read_text().splitlines() if line.strip()]
    logits = model.logits(model.input.check(rows)).astype(np.float64)
    labels = [model.bundle.labels[column] for column in logits.argmax(axis=1).tolist()]
    (FOLDER / "1" / "golden.json").write_bytes(write_golden(Golden(rows, logits, labels)))
