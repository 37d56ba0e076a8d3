"""A report's subject, from a model folder and, where inputs are to be shown, the file of examples."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from softgate.errors import CalibrationInvalid, DataInvalid
from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.runtime.repository import Bundle
from softgate.workbench.examples import read_examples
from softgate.workbench.report.subject import Subject
from softgate.workbench.report.words import MAX_INPUT_CHARACTERS, shortened


def subject(bundle: Bundle) -> Subject:
    """Raises CalibrationInvalid where there is none to report on."""
    calibration = bundle.calibration
    if calibration is None:
        raise CalibrationInvalid(f"{bundle.folder}: has no calibration yet. Run softgate calibrate first.")
    explicit = bundle.card.routing.threshold
    evidence = calibration.evidence
    if explicit is not None:
        # It overrides whatever was fitted, and stands for a promise that was made before it.
        evidence = {name: part for name, part in evidence.items() if name != "promises"}
    return Subject(
        model=bundle.name,
        version=bundle.version,
        calibration=calibration.id,
        temperature=calibration.temperature,
        gate=calibration.gate,
        thresholds=calibration.thresholds if explicit is None else {DEFAULT_PROFILE: explicit},
        n_labels=len(bundle.labels),
        evidence=evidence,
    )


def with_inputs(subject: Subject, path: Path) -> Subject:
    """The same with the inputs of its mistakes. Raises DataInvalid, also where `path` is not the file they are from."""
    if path.suffix.lower() == ".npz":
        raise DataInvalid(f"{path}: holds logits, so there are no inputs to show.")
    examples = read_examples(path, multi_label=subject.multi_label)
    data = subject.part("data")
    # Mistakes are found on the rows judged on.
    expected = (data.get("eval") or data).get("sha256")
    if examples.sha256 != expected:
        raise DataInvalid(
            f"{path}: got a file of digest {examples.sha256[:12]}, wanted the one whose mistakes the calibration "
            f"names, {str(expected)[:12]}."
        )
    wanted = [part["row"] for part in subject.evidence.get("mistakes") or ()]
    inputs = {row: _shown(examples.rows[row - 1]) for row in wanted if 0 < row <= len(examples.rows)}
    return replace(subject, inputs=inputs)


def _shown(row: Any) -> str:
    text = (
        row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=lambda value: type(value).__name__)
    )
    return shortened(text, MAX_INPUT_CHARACTERS)
