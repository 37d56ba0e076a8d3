"""
What a graph is: told by the file itself, and by what it answers to made-up rows.

`inspect` parses, loads and runs what may be hostile: it is to be called in a process of its own (`runtime/contained`).
What it finds crosses over as JSON; `Inspection` is the same on both sides.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import EngineFailed, GraphInvalid
from softgate.policy.placement import SEVERAL_ROWS, most_runs, placed, side_by_side
from softgate.runtime.calibration import sha256
from softgate.runtime.card import LOOP, MAX_BATCH
from softgate.runtime.pace import threads_pay
from softgate.runtime.plausibility import Looks, looks
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import SAMPLE_ROWS
from softgate.runtime.session import Session
from softgate.types import TensorSpec
from softgate.workbench.ends import Ending
from softgate.workbench.graph import GraphFacts, files_beside, graph_facts
from softgate.workbench.trial import a_run, run, seconds_of_runs

BATCHES = (1, 32)
HOLDS = {
    Looks.SHARES: "probabilities",
    Looks.LOG_SHARES: "log_probabilities",
    Looks.NEARLY_SHARES: "probabilities",
    Looks.UNIT: "probabilities",
    Looks.NEGATIVE: "logits",
    Looks.SCORES: "logits",
}
ENDS = {"Softmax": "probabilities", "LogSoftmax": "log_probabilities", "Sigmoid": "probabilities"}
# What skl2onnx writes for a vectorizer of words, whatever pattern the vectorizer has.
EXPORTED_PATTERN = "[a-zA-Z0-9_]+"
OTHER_TOKENS = (
    f"It splits texts by {EXPORTED_PATTERN}, as skl2onnx writes it; scikit-learn takes words of two letters or more "
    "of any alphabet. Accented words differ; of 600 everyday sentences none did with single words, 31 % with word "
    "pairs. softgate answers what the graph answers. To make the two equal, export with "
    r'tokenexp=r"[\p{L}\p{N}_][\p{L}\p{N}_]+".'
)


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    type: str
    shape: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Output(Tensor):
    ends_in: str
    """The operators that make it, reshaping and casting left out; empty where nothing tells."""
    holds: str | None
    """logits, probabilities, log_probabilities, label or labels; None where nothing tells."""
    n_columns: int | None
    independent: bool
    """Values between 0 and 1 that do not add up: labels that stand for themselves."""


@dataclass(frozen=True, slots=True)
class Inspection:
    file: str
    size_bytes: int
    sha256: str
    producer: str
    ir_version: int
    opsets: Mapping[str, int]
    n_parameters: int
    foreign_operators: Sequence[str]
    external_data: Sequence[str]
    """Other files that hold weights of its, as the graph names them."""
    n_nan: int
    locales: Sequence[str]
    inputs: Sequence[Tensor]
    outputs: Sequence[Output]
    batch: int | None
    """Rows at a time, None: any number."""
    labels: Sequence[str]
    """Names found in the graph, in the order of its columns."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Least time of a run, by its number of rows."""
    threads: int | None = None
    """That a served run would be shared among here; None: it was not run."""
    parallel_runs: int | None = None
    """That would be under way at a time; None: it was not run."""
    notes: Sequence[str] = ()

    @property
    def answer(self) -> Output | None:
        """The output that carries the answer, None where several could: raw scores before all else."""
        for kind in ("logits", "log_probabilities", "probabilities"):
            found = [output for output in self.outputs if output.holds == kind]
            if found:
                return found[0] if len(found) == 1 else None
        return None

    @property
    def activation(self) -> str | None:
        """softmax or sigmoid, None where the graph does not settle it."""
        return None if self.answer is None else self.activation_of(self.answer)

    def activation_of(self, answer: Output) -> str | None:
        """The same where this output carries the answer."""
        if answer.n_columns is None:
            return None
        if answer.independent and answer.n_columns > 1:
            return "sigmoid"
        if any(output.holds == "labels" for output in self.outputs):
            return "sigmoid"
        # Names alone settle nothing: labels that may hold at once have names too.
        one_label = any(output.holds == "label" for output in self.outputs)
        exclusive = answer.holds in ("probabilities", "log_probabilities") or answer.n_columns == 1 or one_label
        return "softmax" if exclusive else None

    @property
    def runs_on(self) -> str | None:
        """Where it would be served here, unless its card says otherwise; None: it was not run."""
        if not self.seconds:
            return None
        # Rows of numbers are all alike; images, which have more axes, vary as texts do.
        numbers = all(tensor.type.startswith("float") and len(tensor.shape) == 2 for tensor in self.inputs)
        if numbers:
            kind = "tensor"
        else:
            kind = "image" if any(tensor.type.startswith("float") for tensor in self.inputs) else "text"
        alone = min(self.seconds.values())
        per_row = max(self.seconds.values()) / max(map(int, self.seconds))
        batch = per_row * MAX_BATCH["tensor"]
        return placed(kind, batch_within=lambda seconds: batch <= seconds, row_within=lambda seconds: alone <= seconds)

    @property
    def n_classes(self) -> int | None:
        """Classes told apart: one column stands for two of them."""
        answer = self.answer
        if answer is None or answer.n_columns is None:
            return len(self.labels) or None
        return 2 if answer.n_columns == 1 and self.activation == "softmax" else answer.n_columns


def of_json(values: Mapping[str, Any]) -> Inspection:
    """What `inspect` yielded, after its journey as JSON."""
    inputs = [Tensor(**tensor) for tensor in values["inputs"]]
    outputs = [Output(**output) for output in values["outputs"]]
    return Inspection(**{**values, "inputs": inputs, "outputs": outputs})


def inspect(path: str) -> Iterator[Mapping[str, Any]]:
    """One Inspection, as JSON takes it. Raises GraphInvalid."""
    content = _read(Path(path))
    facts = graph_facts(content)
    try:
        external = files_beside(facts.external, Path(path).parent)
    except GraphInvalid as exc:
        # No session can be made of it: what the file itself says is all there is.
        found = _of_file(Path(path), content, facts)
        yield asdict(replace(found, notes=[*found.notes, str(exc)]))
        return
    facts = graph_facts(content, external) if external else facts
    found = _of_file(Path(path), content, facts)
    if facts.foreign:
        note = "It uses custom operators, of which softgate loads no library: export the model without them."
        yield asdict(replace(found, notes=[*found.notes, note]))
        return
    one = Session(content, external=external, threads=1)
    cpus = usable_cpus()
    sessions = {1: one} if cpus == 1 else {1: one, cpus: Session(content, external=external, threads=cpus)}
    yield asdict(_of_session(found, facts, sessions))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise GraphInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc


def _of_file(path: Path, content: bytes, facts: GraphFacts) -> Inspection:
    return Inspection(
        file=path.name,
        size_bytes=len(content),
        sha256=sha256(content),
        producer=facts.producer,
        ir_version=facts.ir_version,
        opsets=facts.opsets,
        n_parameters=facts.n_parameters,
        foreign_operators=[f"{domain}:{name}" for domain, names in facts.foreign.items() for name in names],
        external_data=list(dict.fromkeys(each.location for each in facts.external)),
        n_nan=sum(facts.nan.values()),
        locales=sorted({locale or "en_US" for locale in facts.locales}),
        inputs=(),
        outputs=(),
        batch=None,
        labels=(),
        notes=[OTHER_TOKENS] if EXPORTED_PATTERN in facts.token_patterns else [],
    )


def _of_session(found: Inspection, facts: GraphFacts, sessions: Mapping[int, Session]) -> Inspection:
    """`sessions` by their threads: one, and as many as there are CPUs."""
    session, most = sessions[1], max(sessions)
    notes: list[str] = []
    threads = None
    sizes = {spec.shape[0] for spec in session.inputs if spec.shape}
    batch = sizes.pop() if len(sizes) == 1 else None
    answers: Sequence[Any] = [None] * len(session.outputs)
    seconds: Mapping[str, float] = {}
    try:
        answers = run(session, facts, batch or SAMPLE_ROWS)
        batches = [rows for rows in BATCHES if batch in (None, rows)]
        of_each = seconds_of_runs(list(sessions.values()), facts, batches)
        taken = {
            n_threads: {str(rows): least for rows, least in by_rows.items()}
            for n_threads, by_rows in zip(sessions, of_each, strict=True)
        }
        threads = most if threads_pay(one=list(taken[1].values()), more=list(taken[most].values())) else 1
        seconds = taken[threads]
    except EngineFailed as exc:
        notes.append(f"It was not run: {exc}")
    ends = {ending.output: ending for ending in facts.endings}
    outputs = [
        _output(spec, ends.get(spec.name), answer) for spec, answer in zip(session.outputs, answers, strict=True)
    ]
    inputs = [Tensor(spec.name, _type(spec), spec.shape) for spec in session.inputs]
    seen = replace(
        found,
        inputs=inputs,
        outputs=outputs,
        batch=batch,
        seconds=seconds,
        threads=threads,
        notes=[*found.notes, *notes],
    )
    if threads is not None:
        several = 1 if seen.runs_on == LOOP else most_runs(most, threads)
        parallel_runs, _ = side_by_side(
            several, a_run(sessions[threads], facts, batch or SEVERAL_ROWS), clock=time.perf_counter
        )
        seen = replace(seen, parallel_runs=parallel_runs)
    return replace(seen, labels=_labels(seen, facts, answers, session.outputs))


def _labels(found: Inspection, facts: GraphFacts, answers: Sequence[Any], specs: Sequence[TensorSpec]) -> Sequence[str]:
    """The likeliest list of names with one for each class; where classes cannot be counted, the likeliest of all."""
    maps = [answer[0] for spec, answer in zip(specs, answers, strict=True) if spec.maps and answer]
    lists = [[str(key) for key in row] for row in maps] + [list(names.names) for names in facts.classes]
    columns = None if found.answer is None else found.answer.n_columns
    fitting = [names for names in lists if columns in (None, len(names)) or (columns == 1 and len(names) == 2)]
    return fitting[0] if fitting else ()


def _output(spec: TensorSpec, ending: Ending | None, answer: Any) -> Output:
    columns = spec.shape[1] if len(spec.shape) == 2 else None
    holds, independent = None, False
    last = ending.operators[-1] if ending is not None and ending.operators else ""
    if spec.dtype.kind != "f" and not spec.maps:
        # scikit-learn names the class; of labels that may hold at once it gives a 0 or 1 each.
        holds = "labels" if len(spec.shape) == 2 and spec.shape[1] != 1 else "label"
    elif spec.maps or len(spec.shape) <= 2:
        values = _values(spec, answer)
        if values is None:
            holds, independent = ENDS.get(last), last == "Sigmoid"
        else:
            columns = values.shape[1]
            seen = Looks.SCORES if np.isnan(values).any() else looks(values)
            # Rows all alike may lie between 0 and 1 by chance: a graph may answer 0 to everything that is made up.
            alike = bool((values == values[0]).all())
            seen = Looks.SCORES if alike and seen is Looks.UNIT else seen
            holds = ENDS.get(last) or HOLDS[seen]
            independent = holds == "probabilities" and (seen is Looks.UNIT or (alike and last == "Sigmoid"))
    ends_in = " of ".join(ending.operators) if ending is not None else ""
    return Output(spec.name, _type(spec), spec.shape, ends_in, holds, columns, independent)


def _values(spec: TensorSpec, answer: Any) -> NDArray[np.floating] | None:
    if answer is None or (spec.maps and not answer):
        return None
    if spec.maps:
        return np.array([list(row.values()) for row in answer], dtype=np.float64)
    values: NDArray[np.floating] = np.asarray(answer)
    values = values[:, None] if values.ndim == 1 else values
    return values if values.ndim == 2 and values.size else None


def _type(spec: TensorSpec) -> str:
    if spec.maps:
        return f"map of {'string' if spec.dtype.kind == 'O' else spec.dtype}"
    return "string" if spec.dtype.kind == "O" else str(spec.dtype)
