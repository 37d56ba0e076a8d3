"""
`calibration.json`: what `softgate calibrate` writes, verified against all that it was made with.

It is bound by sha256 to the graph and the files of its weights, the labels, the tokenizer and the card's promises:
change one and the load is refused with its name. Its own digest stands inside it, so that an edit is refused too.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softgate.errors import CalibrationInvalid
from softgate.numerics.conformal import SET_SCORES
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.runtime import files
from softgate.runtime.reference import Reference, read_reference
from softgate.runtime.table import Table, shown
from softgate.types import ModelFiles

FORMAT = 1
DEFAULT_PROFILE = "default"
DEFAULT_SET_SCORE = "topp"
# The activation that a bias fits: under the others it would move the zeros, or be a threshold by another name.
BIASED = "softmax"
AGAIN = "Run softgate calibrate again."


@dataclass(frozen=True, slots=True)
class Names:
    """What a calibration may speak of, as the card and labels.txt call it."""

    activation: str
    multi_label: bool
    labels: Sequence[str]
    thresholds: Sequence[str]
    """What may have a threshold of its own: the routes, or the labels where several may hold."""
    profiles: Sequence[str]
    """With the default."""


@dataclass(frozen=True, slots=True)
class Calibration:
    temperature: float | tuple[float, ...]
    """One, or one per label where several may hold."""
    noise: float | None
    """Share of labels that the robust fit took for wrong; None where another fit was used."""
    gate: float | None
    """Least energy of a row in scope; None: no gate."""
    set_quantile: float | tuple[float, ...] | None
    """The `set_score` up to which a class belongs to the prediction set, or one per label; None: no sets."""
    thresholds: Mapping[str, float]
    """By profile; "default" where the request names none."""
    evidence: Mapping[str, Any]
    digest: str
    bias: tuple[float, ...] | None = None
    """Added to the logits of each label once T has divided them; None: nothing is."""
    set_score: str = DEFAULT_SET_SCORE
    """Which of `SET_SCORES` the quantile is of."""
    route_thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By profile, then by route, or by label where several may hold: before `thresholds`."""
    reference: Reference | None = None
    """What traffic is compared with."""
    written_reference: Mapping[str, Any] = field(default_factory=dict)
    """The same as it was written."""

    @property
    def id(self) -> str:
        """How answers and metrics name it."""
        return self.digest[:12]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digests(model: ModelFiles) -> dict[str, str]:
    """Of model.onnx and of each file beside it that holds its weights, by name."""
    return {"model.onnx": sha256(model.content), **{name: sha256(held) for name, held in model.external.items()}}


def canonical(value: Any) -> bytes:
    """The one JSON form of a value: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def bindings(
    card: Mapping[str, Any], *, model: ModelFiles, labels: bytes, tokenizer: bytes | None
) -> Mapping[str, str | None]:
    """Digest of each thing a calibration depends on, by the name a refusal gives. `card`: see `card.bound_parts`."""
    return {
        **digests(model),
        "labels.txt": sha256(labels),
        "tokenizer.json": None if tokenizer is None else sha256(tokenizer),
        **{f"classifier.toml {name}": sha256(canonical(part)) for name, part in card.items()},
    }


def seal(values: Mapping[str, Any]) -> bytes:
    """The file for `values`: their digest added, indented for people."""
    sealed = {"digest": sha256(canonical(values)), **values}
    return json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def read_calibration(path: Path, expected: Mapping[str, str | None], *, names: Names) -> Calibration | None:
    """The calibration at `path`, None where there is none. Raises CalibrationInvalid."""
    try:
        content = files.content(path)
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
            f"{str(values.get('digest'))[:12]}. {AGAIN}"
        )
    # First, for a list that fits the labels as they were may not fit them as they are.
    changed = _changed(values.get("bound_to"), expected)
    if changed:
        raise CalibrationInvalid(
            f"{path}: made for another {', another '.join(changed)}; what it promises no longer holds. {AGAIN}"
        )
    return _checked(values, path, names)


def _changed(bound: Any, expected: Mapping[str, str | None]) -> list[str]:
    if not isinstance(bound, Mapping):
        return []
    return [name for name in sorted(expected.keys() | bound.keys()) if bound.get(name) != expected.get(name)]


def _checked(values: Mapping[str, Any], path: Path, names: Names) -> Calibration:
    mistakes: list[str] = []
    table = Table(values, place="", mistakes=mistakes)
    table.integer("format", low=FORMAT, high=FORMAT)
    if "bound_to" not in values:
        table.note("bound_to", "missing; wanted a table.")
    table.table("bound_to")
    table.table("evidence")
    thresholds = table.table("thresholds")
    n_labels = len(names.labels)
    calibration = Calibration(
        temperature=_temperature(table, names),
        noise=table.number("noise", None, low=0.0, high=1.0),
        gate=table.number("gate", None, low=-math.inf, high=math.inf),
        set_quantile=table.number_or_numbers("set_quantile", None, low=0.0, high=1.0, length=n_labels),
        thresholds={profile: thresholds.number(profile, low=0.0, high=1.0) for profile in thresholds.names()},
        evidence=values.get("evidence", {}),
        digest=table.text("digest"),
        bias=_bias(table, names),
        set_score=table.text("set_score", DEFAULT_SET_SCORE, one_of=tuple(SET_SCORES)),
        route_thresholds=_route_thresholds(table.table("route_thresholds"), names),
        reference=read_reference(
            table.table("reference"), n_labels=n_labels, all_in_scope=not _out_of_scope_rows(values.get("evidence"))
        ),
        written_reference=values.get("reference", {}),
    )
    if mistakes:
        raise CalibrationInvalid(f"{path}: " + f"\n{path}: ".join(mistakes))
    return calibration


def _temperature(table: Table, names: Names) -> Any:
    low, high = TEMPERATURE_RANGE
    if names.multi_label:
        return table.number_or_numbers("temperature", low=low, high=high, length=len(names.labels))
    return table.number("temperature", low=low, high=high)


def _bias(table: Table, names: Names) -> Any:
    bias = table.numbers("bias", None, low=-math.inf, high=math.inf, lengths=(len(names.labels),))
    if bias is None:
        return None
    if names.activation != BIASED:
        table.note("bias", f"got one for {names.activation}, wanted none: only {BIASED} takes a bias.")
    return tuple(map(float, bias))


def _route_thresholds(table: Table, names: Names) -> Mapping[str, Mapping[str, float]]:
    kind = "label" if names.multi_label else "route"
    found: dict[str, dict[str, float]] = {}
    for profile in table.names():
        if profile not in names.profiles:
            table.note(profile, f"unknown profile; wanted one of {shown(sorted(names.profiles))}.")
        own = table.table(profile)
        for name in own.names():
            if name not in names.thresholds:
                own.note(name, f"unknown {kind}; wanted one of {shown(sorted(names.thresholds))}.")
        found[profile] = {name: own.number(name, low=0.0, high=1.0) for name in own.names()}
    return found


def _out_of_scope_rows(evidence: Any) -> bool:
    """Whether the rows held such, as far as the evidence tells."""
    data = evidence.get("data") if isinstance(evidence, dict) else None
    return isinstance(data, dict) and bool(data.get("out_of_scope"))
