"""A model with a reference, and rows that drift away from it."""

from pathlib import Path

import numpy as np

from graphs import linear, load_classifier, write_model
from references import write_referenced
from softgate.policy.monitor.offline import Offline
from softgate.policy.monitor.told import Report

CALM = np.random.default_rng(0).normal(scale=4, size=(2000, 4))
MIXED = np.concatenate([CALM[:500], CALM[500:800] / 50])
"""Of its last 300 rows nothing is sure."""


def model(folder: Path, *, name: str = "toy") -> Path:
    write_model(folder, linear(np.eye(4, dtype=np.float32)), name=name)
    write_referenced(folder, CALM, thresholds={"default": 0.5}, gate=2.0)
    return folder


def drifted(folder: Path) -> Report:
    """Of 400 rows of which nothing is sure, after 400 ordinary ones."""
    classifier = load_classifier(model(folder))
    offline = Offline(classifier.model.bundle)
    for logits in (CALM[:400], CALM[400:800] / 50):
        offline.add(classifier.replay(logits))
    classifier.close()
    return offline.report()
