"""
Time and memory of `softgate calibrate`, on logits that are given.

100 000 rows of 150 classes, 20 000 rows of 10 000 classes, the latter only where asked for: each in a process of its
own, by the command that users run. Prints seconds and the peak of its memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from graphs import linear

SIZES = {"150 classes": (100_000, 150), "10 000 classes": (20_000, 10_000)}
CARD = """
name = "bench"
activation = "softmax"
[input]
kind = "tensor"
[output]
kind = "logits"
[routing]
fallback = "human"
precision = 0.9
"""


def write_folder(folder: Path, *, n_classes: int) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "classifier.toml").write_text(CARD)
    (folder / "labels.txt").write_text("".join(f"label_{place}\n" for place in range(n_classes)))
    weights = np.random.default_rng(1).normal(size=(4, n_classes)).astype(np.float32)
    (folder / "1" / "model.onnx").write_bytes(linear(weights))


def write_data(path: Path, *, n_rows: int, n_classes: int) -> None:
    """About nine rows in ten are right, and the logits are too timid by a third."""
    random = np.random.default_rng(0)
    labels = random.integers(0, n_classes, n_rows)
    logits = random.standard_normal((n_rows, n_classes), dtype=np.float32)
    logits[np.arange(n_rows), labels] += random.gamma(6.0, 1.2, n_rows).astype(np.float32)
    np.savez(path, logits=np.float32(1.5) * logits, labels=labels)


def measure(n_rows: int, n_classes: int) -> tuple[float, float]:
    """Seconds, and the peak of the process's memory in GiB."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, data = Path(scratch) / "model", Path(scratch) / "data.npz"
        write_folder(folder, n_classes=n_classes)
        write_data(data, n_rows=n_rows, n_classes=n_classes)
        command = [sys.executable, "-m", "softgate", "calibrate", str(folder), "--data", str(data)]
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
        return time.monotonic() - started, usage.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="the large one too: minutes")
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    for name, (n_rows, n_classes) in SIZES.items():
        if n_classes > 1000 and not arguments.all:
            continue
        found = sorted(measure(n_rows, n_classes) for _ in range(arguments.runs))
        seconds = [f"{each[0]:.1f}" for each in found]
        peak = max(each[1] for each in found)
        print(f"calibrate, {n_rows} rows of {name}: {', '.join(seconds)} s, at most {peak:.2f} GiB")


if __name__ == "__main__":
    main()
