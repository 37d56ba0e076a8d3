"""A replay is the server's answer, byte for byte, without the graph."""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from graphs import LABELS, linear, load_classifier, logarithm, write_calibration, write_model
from servers import command, environment, served
from softgate.commands.replay import summary, tallied
from softgate.policy.batch import Part
from softgate.runtime.session import Session
from softgate.types import Action, Decisions, Reason, View
from softgate.web.protocols.predictions import encode_lines

N_ROWS = 10_000
BANKING = {"transfer": "banking", "balance": "banking"}
CALIBRATIONS: dict[str, dict[str, Any]] = {
    "softmax": {
        "temperature": 1.7,
        "bias": [0.3, -0.2, 0.0, 0.1],
        "gate": 1.0,
        "set_quantile": 0.7,
        "thresholds": {"default": 0.9, "strict": 0.95},
        "route_thresholds": {"default": {"banking": 0.85}},
    },
    "sigmoid": {
        "temperature": [0.5, 1.0, 2.0, 4.0],
        "thresholds": {"default": 0.8, "strict": 0.95},
        "route_thresholds": {"default": {"joke": 0.7}},
    },
}


def toy(folder: Path, activation: str = "softmax", *, calibrated: bool = True) -> Path:
    profiles = "[routing.profiles.strict]\nprecision = 0.99"
    write_model(
        folder,
        linear(np.eye(4, dtype=np.float32)),
        activation=activation,
        routing="",
        routes=BANKING,
    )
    card = folder / "classifier.toml"
    card.write_text(f"{card.read_text()}\n{profiles}\n")
    if calibrated:
        write_calibration(folder, **CALIBRATIONS[activation])
    return folder


def drawn(n_rows: int = N_ROWS) -> NDArray[np.float32]:
    logits = np.random.default_rng(3).normal(scale=3, size=(n_rows, len(LABELS))).astype(np.float32)
    # What no request can send, but a graph can give.
    logits[::701, 1], logits[5::1301, 2], logits[9::1777, 0] = np.nan, np.inf, -np.inf
    return logits


def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[bytes]":
    ended = subprocess.run(
        command("replay", *arguments), capture_output=True, env=environment(), check=False, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert b"Traceback" not in ended.stderr
    return ended


def refusal(*arguments: object, code: int = 1) -> str:
    ended = run(*arguments, code=code)
    assert ended.stdout == b""
    return ended.stderr.decode().removeprefix("error ").rstrip()


def save(folder: Path, logits: Any, name: str = "data.npz") -> Path:
    path = folder / name
    if path.suffix == ".npz":
        np.savez(path, logits=logits)
    else:
        np.save(path, logits)
    return path


@pytest.mark.parametrize("activation", CALIBRATIONS)
@pytest.mark.parametrize("profile", [None, "strict"])
def test_rows_are_decided_as_served_in_batches_of_any_size(
    activation: str, profile: str | None, tmp_path: Path
) -> None:
    folder, logits = toy(tmp_path / "toy", activation), drawn()
    path = save(tmp_path, logits)
    options = ["--top-k", 3] + ([] if profile is None else ["--profile", profile])

    first, again = (run(folder, path, *options).stdout for _ in range(2))

    assert first == again
    assert first.count(b"\n") == N_ROWS
    # A request carries finite numbers alone, and this graph gives what it gets.
    lines, finite = first.splitlines(keepends=True), np.flatnonzero(np.isfinite(logits).all(axis=1))
    classifier, view = load_classifier(folder), View(top_k=3)
    for size in (1, 7, 1000):
        batches = [logits[finite[start : start + size]] for start in range(0, len(finite), size)]
        parts = [classifier.predict_now(classifier.check(list(batch)), profile=profile) for batch in batches]
        told = b"".join(b"".join(encode_lines(classifier, Part.whole(classifier, part), view)) for part in parts)
        assert told == b"".join(lines[row] for row in finite)
    classifier.close()
    reasons = {json.loads(line)["decision"]["reason"] for line in first.splitlines()}
    wanted = {"confident", "non_finite"} | (
        {"ambiguous", "below_threshold", "out_of_scope"} if activation == "softmax" else {"no_label"}
    )
    assert reasons == wanted


@pytest.mark.parametrize("activation", CALIBRATIONS)
def test_answers_over_http_fed_back_in_are_answered_again(activation: str, tmp_path: Path) -> None:
    folder, logits = toy(tmp_path / "toy", activation), drawn()
    rows = logits[np.isfinite(logits).all(axis=1)].tolist()
    answers = tmp_path / "answers.jsonl"
    plain = []
    with served(folder) as server, answers.open("wb") as file:
        for part in (rows[start : start + 1000] for start in range(0, len(rows), 1000)):
            file.write(server.predict("toy", inputs=part, logits=True, top_k=2).content + b"\n")
            content = server.predict("toy", inputs=part, top_k=2).content
            plain += [bytes(raw) for raw in msgspec.json.decode(content, type=_Answer).predictions]

    lines = run(folder, answers, "--top-k", 2).stdout.splitlines()

    assert lines == plain
    # One prediction a line, and nothing but logits, are the same rows.
    singles = tmp_path / "singles.ndjson"
    predictions = [
        prediction for line in answers.read_text().splitlines() for prediction in json.loads(line)["predictions"]
    ]
    halves = [each if at % 2 else {"logits": each["logits"]} for at, each in enumerate(predictions)]
    singles.write_text("".join(f"{json.dumps(each)}\n\n" for each in halves))
    assert run(folder, singles, "--top-k", 2).stdout.splitlines() == plain


class _Answer(msgspec.Struct):
    predictions: list[msgspec.Raw]


def test_rows_that_a_graph_makes_no_numbers_of_are_decided_as_served(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "logarithm", logarithm(4))
    write_calibration(folder, temperature=1.7, gate=-5.0, set_quantile=0.7)
    answers = tmp_path / "answers.jsonl"
    rows = np.random.default_rng(5).normal(loc=1, size=(200, 4)).round(1).tolist()
    with served(folder) as server:
        answers.write_bytes(server.predict("toy", inputs=rows, logits=True, top_k=1).content)
        plain = msgspec.json.decode(server.predict("toy", inputs=rows, top_k=1).content, type=_Answer).predictions

    lines = run(folder, answers).stdout.splitlines()

    assert lines == [bytes(raw) for raw in plain]
    reasons = [json.loads(line)["decision"]["reason"] for line in lines]
    assert 0 < reasons.count("non_finite") < len(rows)


def test_every_kind_of_file_gives_the_same_lines(tmp_path: Path) -> None:
    folder, logits = toy(tmp_path / "toy"), drawn(3000)
    told = run(folder, save(tmp_path, logits)).stdout
    lines = tmp_path / "data.jsonl"
    # As Python writes NaN, and as an answer does, after the mark of a Windows editor.
    texts = [json.dumps({"logits": row}) for row in logits.tolist()]
    nulls = [text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null") for text in texts]

    for content in ("\n".join(texts), "\ufeff" + "\r\n".join(nulls)):
        lines.write_text(content, encoding="utf-8")
        assert run(folder, lines).stdout == told
    assert run(folder, save(tmp_path, logits.astype(">f8"), "data.npy")).stdout == told
    assert run(folder, save(tmp_path, np.asfortranarray(logits), "data.npy")).stdout == told


def test_a_file_is_written_whole_and_standard_output_stays_empty(tmp_path: Path) -> None:
    folder, path, output = toy(tmp_path / "toy"), save(tmp_path, drawn(100)), tmp_path / "out.jsonl"

    ended = run(folder, path, "--output", output)

    assert ended.stdout == b""
    assert output.read_bytes() == run(folder, path).stdout
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"logits": [1, 2, 3, 4]}\n' * 50_000 + "{\n")
    before = output.read_bytes()
    assert "line 50001: not JSON" in refusal(folder, broken, "--output", output)
    assert output.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["broken.jsonl", "data.npz", "out.jsonl", "toy"]
    assert "another file" in refusal(folder, path, "--output", path, code=2)
    assert "cannot be written" in refusal(folder, path, "--output", tmp_path / "nowhere" / "out.jsonl")


def test_a_device_and_a_link_stay_what_they_are(tmp_path: Path) -> None:
    folder, path = toy(tmp_path / "toy"), save(tmp_path, drawn(10))
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "target.jsonl")

    run(folder, path, "--output", link)

    assert link.is_symlink()
    assert len((tmp_path / "target.jsonl").read_bytes().splitlines()) == 10
    assert run(folder, path, "--output", "/dev/stdout").stdout.count(b"\n") == 10


def test_the_summary_counts_again_what_was_written(tmp_path: Path) -> None:
    ended = run(toy(tmp_path / "toy"), save(tmp_path, drawn(2000)))

    decisions = [json.loads(line)["decision"] for line in ended.stdout.splitlines()]
    actions = Counter(each["action"] for each in decisions)
    reasons = Counter(each["reason"] for each in decisions)
    said = ended.stderr.decode()
    assert said.startswith("2,000 rows: ")
    for action, n in actions.items():
        assert f"{n / 2000:.1%}".replace("%", " %") + f" {action} (" in said
    for reason, n in reasons.items():
        assert f"{n:,} {reason}" in said
    assert said.count("\n") == 1


def test_a_summary_by_hand() -> None:
    nothing = np.zeros(4)
    action = np.array([Action.ROUTE, Action.FALLBACK, Action.ROUTE, Action.FALLBACK], np.int8)
    reason = np.array([Reason.CONFIDENT, Reason.NON_FINITE, Reason.CONFIDENT, Reason.BELOW_THRESHOLD], np.int8)
    tally = tallied(Decisions(action, reason, nothing.astype(np.intp), nothing, nothing, None, {}))

    assert summary(tally) == "4 rows: 50.0 % route (2 confident), 50.0 % fallback (1 below_threshold, 1 non_finite)"


def test_the_graph_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from softgate.commands import replay  # noqa: PLC0415 - with the graph's engine

    def refuse(*_: object) -> None:
        raise AssertionError("The graph was run.")

    monkeypatch.setattr(Session, "run", refuse)
    output = tmp_path / "out.jsonl"

    code = replay.run(
        toy(tmp_path / "toy"),
        save(tmp_path, drawn(9)),
        profile=None,
        top_k=1,
        output=output,
        drift=False,
        as_json=False,
    )

    assert (code, output.read_bytes().count(b"\n")) == (0, 9)


def test_without_a_calibration_every_row_is_uncalibrated_but_those_that_are_none(tmp_path: Path) -> None:
    lines = run(toy(tmp_path / "toy", calibrated=False), save(tmp_path, drawn(10))).stdout.splitlines()

    assert [json.loads(line)["decision"]["reason"] for line in lines] == [
        "uncalibrated" if np.isfinite(row).all() else "non_finite" for row in drawn(10)
    ]


def test_who_stops_reading_gets_no_error(tmp_path: Path) -> None:
    line = command("replay", toy(tmp_path / "toy"), save(tmp_path, drawn()))
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_profile_that_is_unknown_is_refused(tmp_path: Path) -> None:
    said = refusal(toy(tmp_path / "toy"), save(tmp_path, drawn(5)), "--profile", "mild", code=2)

    assert said == "Expected a profile of the card: default, strict."
