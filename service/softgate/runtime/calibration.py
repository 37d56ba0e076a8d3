"""
`calibration.json`: what `softgate calibrate` writes, verified against all that it was made with.

It is bound by sha256 to the graph, the labels, the tokenizer and the card's promises: change one and the load is
refused with its name. Its own digest stands inside it, so that an edit is refused too.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softgate.errors import CalibrationInvalid
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.runtime.table import Table

FORMAT = 1
DEFAULT_PROFILE = "default"


@dataclass(frozen=True, slots=True)
class Calibration:
    temperature: float
    noise: float | None
    """Share of labels that the robust fit took for wrong; None where another fit was used."""
    gate: float | None
    """Least energy of a row in scope; None: no gate."""
    set_quantile: float | None
    """Mass before a class up to which it belongs to the prediction set; None: no sets."""
    thresholds: Mapping[str, float]
    """By profile; "default" where the request names none."""
    evidence: Mapping[str, Any]
    digest: str

    @property
    def id(self) -> str:
        """How answers and metrics name it."""
        return self.digest[:12]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """The one JSON form of a value: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def bindings(
    card: Mapping[str, Any], *, model: bytes, labels: bytes, tokenizer: bytes | None
) -> Mapping[str, str | None]:
    """Digest of each thing a calibration depends on, by the name a refusal gives. `card`: see `card.bound_parts`."""
    return {
        "model.onnx": sha256(model),
        "labels.txt": sha256(labels),
        "tokenizer.json": None if tokenizer is None else sha256(tokenizer),
        **{f"classifier.toml {name}": sha256(canonical(part)) for name, part in card.items()},
    }


def seal(values: Mapping[str, Any]) -> bytes:
    """The file for `values`: their digest added, indented for people."""
    sealed = {"digest": sha256(canonical(values)), **values}
    return json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def read_calibration(path: Path, expected: Mapping[str, str | None]) -> Calibration | None:
    """The calibration at `path`, None where there is none. Raises CalibrationInvalid."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise CalibrationInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc
    try:
        values = json.loads(content)
        unsigned = canonical({key: value for key, value in values.items() if key != "digest"})
    except (ValueError, AttributeError, RecursionError) as exc:
        raise CalibrationInvalid(f"{path}: not a JSON object: {exc}.") from exc
    digest = sha256(unsigned)
    if values.get("digest") != digest:
        raise CalibrationInvalid(
            f"{path}: the file was edited: its digest is {digest[:12]}, and the one inside is "
            f"{str(values.get('digest'))[:12]}. Run softgate calibrate again."
        )
    calibration = _checked(values, path)
    bound = values["bound_to"]
    changed = [name for name in sorted(expected.keys() | bound.keys()) if bound.get(name) != expected.get(name)]
    if changed:
        raise CalibrationInvalid(
            f"{path}: made for another {', another '.join(changed)}; "
            "what it promises no longer holds. Run softgate calibrate again."
        )
    return calibration


def _checked(values: Mapping[str, Any], path: Path) -> Calibration:
    mistakes: list[str] = []
    table = Table(values, place="", mistakes=mistakes)
    table.integer("format", low=FORMAT, high=FORMAT)
    if "bound_to" not in values:
        table.note("bound_to", "missing; wanted a table.")
    table.table("bound_to")
    table.table("evidence")
    thresholds = table.table("thresholds")
    calibration = Calibration(
        temperature=table.number("temperature", low=TEMPERATURE_RANGE[0], high=TEMPERATURE_RANGE[1]),
        noise=table.number("noise", None, low=0.0, high=1.0),
        gate=table.number("gate", None, low=-math.inf, high=math.inf),
        set_quantile=table.number("set_quantile", None, low=0.0, high=1.0),
        thresholds={profile: thresholds.number(profile, low=0.0, high=1.0) for profile in thresholds.names()},
        evidence=values.get("evidence", {}),
        digest=table.text("digest"),
    )
    if mistakes:
        raise CalibrationInvalid(f"{path}: " + f"\n{path}: ".join(mistakes))
    return calibration
