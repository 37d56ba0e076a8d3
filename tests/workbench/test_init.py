"""From a graph to a folder that serves, and what has to be told instead of guessed."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, load_model_from_string

import hostile
from external import CONTENT, NAME, linear_beside
from graphs import LABELS, bag_of_words, graph, linear, softmax_of, tensor, word_tokenizer, zipped
from softgate.commands import init
from softgate.commands.check import check
from softgate.errors import CardInvalid, GraphInvalid, ModelError
from softgate.runtime.card import MonitoringCard, Profile, RoutingCard, ServingCard, read_card
from softgate.runtime.contained import Limits
from softgate.runtime.repository import Model, read_bundle
from softgate.workbench.answers import FAILED
from softgate.workbench.init import keep

IDENTITY = np.eye(4, dtype=np.float32)


def saved(tmp_path: Path, model: bytes) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    return path


def make(tmp_path: Path, model: bytes, *, folder: str = "new", megabytes: int = 512, **wishes: Any) -> Path:
    asked: dict[str, Any] = dict.fromkeys(("labels", "tokenizer", "activation", "kind", "tensor"))
    made = tmp_path / "models" / folder
    init.run(saved(tmp_path, model), folder=made, memory_mb=megabytes, seconds=10, **{**asked, **wishes})
    return made


def labels_file(tmp_path: Path, *labels: str) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(labels) + "\n")
    return path


def nothing_left(tmp_path: Path) -> bool:
    """Not even a staging folder."""
    folder = tmp_path / "models"
    return not folder.exists() or not list(folder.iterdir())


def test_a_softmax_graph_needs_no_word(tmp_path: Path) -> None:
    folder = make(tmp_path, softmax_of(4))

    card = read_card(folder / "classifier.toml")
    assert (card.name, card.activation, card.input.kind, card.output.kind) == (
        "new",
        "softmax",
        "tensor",
        "probabilities",
    )
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["1/golden.json", "1/model.onnx", "classifier.toml", "labels.txt"]
    assert read_bundle(folder).golden is not None
    assert Model(read_bundle(folder), threads=1).doubts == ()


def test_what_init_writes_passes_check(tmp_path: Path) -> None:
    found = list(check(make(tmp_path, softmax_of(4)), None, Limits(512 * 2**20, 10)))

    assert [line for line in found if line.status == FAILED] == []


def test_names_in_the_graph_become_the_labels(tmp_path: Path) -> None:
    folder = make(tmp_path, zipped(["cat", "dog", "eel"]))

    assert (folder / "labels.txt").read_text() == "cat\ndog\neel\n"


def test_classes_without_a_name_are_numbered_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, softmax_of(4))

    captured = capsys.readouterr()
    assert (folder / "labels.txt").read_text() == "0\n1\n2\n3\n"
    assert "they are numbered" in captured.out + captured.err


def test_named_labels_leave_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, softmax_of(4), labels=labels_file(tmp_path, *LABELS))

    captured = capsys.readouterr()
    assert read_bundle(folder).labels == LABELS
    assert "warning" not in captured.out + captured.err
    assert "numbered" not in captured.out + captured.err


@pytest.mark.parametrize("labels", [LABELS[:3], (*LABELS, "more")])
def test_labels_of_a_wrong_length_are_refused(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(CardInvalid, match=f"got {len(labels)} labels, wanted 4"):
        make(tmp_path, softmax_of(4), labels=labels_file(tmp_path, *labels))

    assert nothing_left(tmp_path)


def test_one_column_stands_for_two_labels(tmp_path: Path) -> None:
    folder = make(tmp_path, linear(IDENTITY[:, :1]), labels=labels_file(tmp_path, "no", "yes"))

    assert read_card(folder / "classifier.toml").activation == "softmax"
    assert Model(read_bundle(folder), threads=1).one_logit


def bare_gemm() -> bytes:
    return graph(
        [helper.make_node("Gemm", ["features", "weights"], ["logits"])],
        [tensor("features", np.float32, "batch", 4)],
        [tensor("logits", np.float32, "batch", 4)],
        {"weights": IDENTITY},
    )


def test_a_bare_gemm_does_not_settle_the_activation(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match="Say --activation softmax"):
        make(tmp_path, bare_gemm())

    assert nothing_left(tmp_path)


def test_names_of_classes_do_not_settle_the_activation(tmp_path: Path) -> None:
    model = load_model_from_string(bare_gemm())
    model.metadata_props.add(key="id2label", value='{"0": "a", "1": "b", "2": "c", "3": "d"}')

    with pytest.raises(CardInvalid, match="Say --activation softmax"):
        make(tmp_path, model.SerializeToString())


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "sparsemax", "entmax15"])
def test_what_is_told_is_written(tmp_path: Path, activation: str) -> None:
    card = read_card(make(tmp_path, bare_gemm(), activation=activation) / "classifier.toml")

    assert (card.activation, card.output.kind) == (activation, "logits")


def test_an_activation_that_the_graph_belies_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GraphInvalid, match="exclude each other"):
        make(tmp_path, softmax_of(4), activation="sigmoid")

    assert nothing_left(tmp_path)


def test_a_sigmoid_at_the_end_settles_it(tmp_path: Path) -> None:
    model = graph(
        [helper.make_node("Sigmoid", ["features"], ["p"])],
        [tensor("features", np.float32, "batch", 4)],
        [tensor("p", np.float32, "batch", 4)],
    )

    card = read_card(make(tmp_path, model) / "classifier.toml")

    assert (card.activation, card.output.kind) == ("sigmoid", "probabilities")


def two_answers(first: str, second: str) -> bytes:
    return graph(
        [helper.make_node(first, ["features"], ["one"]), helper.make_node(second, ["features"], ["two"])],
        [tensor("features", np.float32, "batch", 4)],
        [tensor("one", np.float32, "batch", 4), tensor("two", np.float32, "batch", 4)],
    )


def test_of_two_answers_the_user_says_which_by_the_option_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphInvalid, match="say which by --tensor: one, two"):
        make(tmp_path, two_answers("Softmax", "Sigmoid"))

    assert nothing_left(tmp_path)


@pytest.mark.parametrize("other", ["Sigmoid", "Identity"])
def test_the_output_that_the_user_chose_settles_the_activation(tmp_path: Path, other: str) -> None:
    card = read_card(make(tmp_path, two_answers(other, "Softmax"), tensor="two") / "classifier.toml")

    assert (card.output.tensor, card.output.kind, card.activation) == ("two", "probabilities", "softmax")


def test_the_last_line_tells_the_activation_that_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, zipped(["cat", "dog", "eel"]), activation="sparsemax")

    assert "sparsemax, 3 labels" in capsys.readouterr().out


def test_token_ids_need_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match="--tokenizer"):
        make(tmp_path, bag_of_words(), activation="softmax")
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(word_tokenizer())

    folder = make(tmp_path, bag_of_words(), activation="softmax", tokenizer=tokenizer)

    assert read_card(folder / "classifier.toml").input.kind == "text"
    assert (folder / "tokenizer.json").read_text() == word_tokenizer()


def test_an_existing_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "models" / "new" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    with pytest.raises(ModelError, match="is there already and not empty"):
        make(tmp_path, softmax_of(4))

    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "new").write_text("mine")

    with pytest.raises(ModelError, match="is there already"):
        make(tmp_path, softmax_of(4))

    assert (tmp_path / "models" / "new").read_text() == "mine"


def test_the_folder_one_is_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "models" / "new"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)

    # A shell whose folder was replaced stands nowhere.
    with pytest.raises(ModelError, match="is the folder you are in"):
        make(tmp_path, softmax_of(4))

    assert list(here.iterdir()) == []


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match=r"nowhere\.json: cannot be read"):
        make(tmp_path, bag_of_words(), activation="softmax", tokenizer=tmp_path / "nowhere.json")

    assert nothing_left(tmp_path)


def interrupted() -> Iterator[str]:
    yield from ()
    raise KeyboardInterrupt


def test_an_interrupt_leaves_no_folder(tmp_path: Path) -> None:
    folder = make(tmp_path, softmax_of(4))

    with pytest.raises(KeyboardInterrupt):
        keep(folder, interrupted())

    assert nothing_left(tmp_path)


def test_golden_rows_that_cannot_be_written_leave_no_folder(tmp_path: Path) -> None:
    folder = make(tmp_path, softmax_of(4))
    path = folder / "1" / "golden.json"
    path.unlink()
    path.mkdir()

    with pytest.raises(ModelError, match=r"new: cannot be written: Is a directory\."):
        keep(folder, iter(["{}"]))

    assert nothing_left(tmp_path)


def test_a_folder_that_is_no_name_of_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match="it names the model"):
        make(tmp_path, softmax_of(4), folder="Not A Name")

    assert nothing_left(tmp_path)


@pytest.mark.parametrize("kind", ["tensor", "text"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_card_mentions_every_key(tmp_path: Path, activation: str, kind: str) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(word_tokenizer())
    if kind == "text":
        folder = make(tmp_path, bag_of_words(), activation=activation, tokenizer=tokenizer)
    else:
        folder = make(tmp_path, bare_gemm(), activation=activation)

    text = (folder / "classifier.toml").read_text()

    card = read_card(folder / "classifier.toml")
    keys = {
        field.name
        for part in (RoutingCard, ServingCard, MonitoringCard, type(card.input.keys))
        for field in fields(part)
    }
    keys |= {"name", "activation", "version", "kind", "fallback"}
    # A single label never holds beside another.
    keys -= set() if activation == "sigmoid" else {"priority"}
    missing = {key for key in keys if not re.search(rf"^#? ?\[?(routing\.)?{key}\b", text, re.MULTILINE)}
    assert missing == set()


def test_the_optional_lines_of_the_card_are_valid_when_uncommented(tmp_path: Path) -> None:
    folder = make(tmp_path, bare_gemm(), activation="sigmoid", labels=labels_file(tmp_path, *LABELS))
    path = folder / "classifier.toml"
    text = path.read_text()

    for line in ("abstain", "threshold", "priority", "version", '"transfer"'):
        text = re.sub(rf"^# ({re.escape(line)} = )", r"\1", text, flags=re.MULTILINE)
    path.write_text(text)

    card = read_card(path)
    assert (card.version, card.routing.threshold, card.routing.priority) == (1, 0.8, ("transfer",))
    assert dict(card.routing.routes) == {"transfer": "somewhere"}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("labels", [LABELS, ('say "hi"', "b", "c", "a.b = [\\u0041] # {é}")], ids=["plain", "odd"])
def test_the_optional_tables_of_the_card_load_when_uncommented(
    tmp_path: Path, activation: str, labels: tuple[str, ...]
) -> None:
    folder = make(tmp_path, bare_gemm(), activation=activation, labels=labels_file(tmp_path, *labels))
    path = folder / "classifier.toml"
    text = path.read_text()

    path.write_text(re.sub(r'^# (?=\[|"|precision = |risk = )', "", text, flags=re.MULTILINE))

    routing = read_bundle(folder).card.routing
    assert dict(routing.routes) == {labels[0]: "somewhere"}
    assert dict(routing.thresholds) == {labels[-1]: 0.9}
    assert dict(routing.profiles) == {"high_risk": Profile(precision=0.99, risk=0.05)}


def test_what_a_file_says_of_itself_does_not_break_out_of_its_comment(tmp_path: Path) -> None:
    odd = tmp_path / 'a\nname = "evil".onnx'
    odd.write_bytes(softmax_of(4))
    folder = tmp_path / "models" / "new"

    init.run(
        odd,
        folder=folder,
        labels=None,
        tokenizer=None,
        activation=None,
        kind=None,
        tensor=None,
        memory_mb=512,
        seconds=10,
    )

    assert read_card(folder / "classifier.toml").name == "new"


@pytest.mark.parametrize(
    "model",
    [
        hostile.truncated(),
        hostile.foreign_operator(),
        hostile.external_weights("/etc/passwd"),
        hostile.endless_loop(),
        hostile.bomb_when_run(2**35),
        hostile.foldable(2**35),
    ],
    ids=["truncated", "operator", "external", "loop", "bomb", "foldable"],
)
def test_of_a_hostile_graph_nothing_is_left(tmp_path: Path, model: bytes) -> None:
    with pytest.raises(ModelError):
        init.run(
            saved(tmp_path, model),
            folder=tmp_path / "models" / "new",
            labels=None,
            tokenizer=None,
            activation="softmax",
            kind=None,
            tensor=None,
            memory_mb=256,
            seconds=2,
        )

    assert nothing_left(tmp_path)


def test_weights_beside_the_graph_are_copied_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)

    folder = make(tmp_path, linear_beside(), activation="softmax")

    assert (folder / "1" / NAME).read_bytes() == CONTENT
    assert read_card(folder / "classifier.toml").external_data == (NAME,)
    assert "beside model.onnx that hold its weights" in (folder / "classifier.toml").read_text()
    assert f"2 labels, weights in {NAME}." in " ".join(capsys.readouterr().out.split())
    assert read_bundle(folder).golden is not None
    found = list(check(folder, None, Limits(512 * 2**20, 10)))
    assert [line for line in found if line.status == FAILED] == []


def test_weights_that_are_not_beside_the_graph_are_named(tmp_path: Path) -> None:
    with pytest.raises(GraphInvalid, match=f"{NAME}: there is no such file"):
        make(tmp_path, linear_beside(), activation="softmax")

    assert nothing_left(tmp_path)


def test_a_link_to_somebody_s_secrets_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / NAME).symlink_to("../secret")

    with pytest.raises(GraphInvalid, match="leads out of its folder"):
        make(tmp_path / "downloads", linear_beside(), activation="softmax")

    assert nothing_left(tmp_path / "downloads")


def test_a_card_lists_no_files_where_the_weights_are_inside(tmp_path: Path) -> None:
    assert "external_data" not in (make(tmp_path, softmax_of(4)) / "classifier.toml").read_text()


def test_it_says_the_activation_that_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, linear(np.ones((4, 1), dtype=np.float32)), activation="sigmoid")

    assert read_card(folder / "classifier.toml").activation == "sigmoid"
    assert ": sigmoid, " in capsys.readouterr().out


def test_of_several_answers_it_asks_by_the_option_that_tells(tmp_path: Path) -> None:
    model = graph(
        [helper.make_node(operator, ["features"], [name]) for operator, name in (("Identity", "one"), ("Neg", "two"))],
        [tensor("features", np.float32, "batch", 4)],
        [tensor(name, np.float32, "batch", 4) for name in ("one", "two")],
    )

    with pytest.raises(GraphInvalid, match="say which by --tensor: one, two"):
        make(tmp_path, model)
    folder = make(tmp_path, model, tensor="two", activation="softmax")
    assert read_card(folder / "classifier.toml").output.tensor == "two"
