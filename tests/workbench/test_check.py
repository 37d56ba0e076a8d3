"""Every way that a model folder may be wrong, made on purpose: `check` names it, and serving does not keep quiet."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import hostile
from external import write_beside
from graphs import (
    LABELS,
    WORDS,
    flat,
    graph,
    linear,
    one_row,
    softmax_of,
    tensor,
    write_calibration,
    write_model,
    write_text_model,
)
from servers import command, environment, started
from softgate.commands.check import check
from softgate.errors import GraphInvalid
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.runtime.contained import Limits
from softgate.runtime.golden import Golden, write_golden
from softgate.runtime.repository import Model, read_bundle, unverified
from softgate.workbench.answers import FAILED, OK, WARNING, Line

MODELS = Path(__file__).parents[2] / "models"
PERMUTED = ("balance", "transfer", "weather", "joke")
NUMBERS = np.random.default_rng(5).normal(size=(8, 4)).tolist()
TEXTS = ("send money", "rain", "sun rain", "joke", "laugh joke", "account balance", "money", "send send")


def lines(folder: Path, against: Path | None = None, *, megabytes: int = 256, seconds: float = 5.0) -> Sequence[Line]:
    return list(check(folder, against, Limits(megabytes * 2**20, seconds)))


def the(found: Sequence[Line], name: str) -> Line:
    """The one line of this name."""
    (line,) = [line for line in found if line.check == name]
    return line


def failed(found: Sequence[Line]) -> dict[str, str]:
    return {line.check: line.sentence for line in found if line.status == FAILED}


def ends_in(operator: str, n_classes: int = 4, **attributes: Any) -> bytes:
    """features → the operator of them."""
    return graph(
        [helper.make_node(operator, ["features"], ["answer"], **attributes)],
        [tensor("features", np.float32, "batch", n_classes)],
        [tensor("answer", np.float32, "batch", n_classes)],
    )


def less_the_mean_of_the_batch() -> bytes:
    return graph(
        [
            helper.make_node("ReduceMean", ["features"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["features", "mean"], ["logits"]),
        ],
        [tensor("features", np.float32, "batch", 4)],
        [tensor("logits", np.float32, "batch", 4)],
    )


def identity(folder: Path, **keywords: Any) -> Path:
    return write_model(folder, linear(np.eye(4, dtype=np.float32)), **keywords)


def two_labels(folder: Path, model: bytes) -> Path:
    return write_model(folder, model, labels=("no", "yes"))


def write_golden_rows(folder: Path, rows: Sequence[Any]) -> None:
    model = Model(read_bundle(folder), threads=1)
    logits = model.logits(model.input.check(rows)).astype(np.float64)
    labels = [model.bundle.labels[column] for column in logits.argmax(axis=1)]
    (folder / "1" / "golden.json").write_bytes(write_golden(Golden(list(rows), logits, labels)))


def permute_labels(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join(PERMUTED) + "\n")


def swap_tokenizer(folder: Path) -> None:
    """One that reads the same words as other ids."""
    words = (*WORDS[:2], *WORDS[:1:-1])
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    (folder / "tokenizer.json").write_text(str(tokenizer.to_str()))


@pytest.mark.parametrize("name", ["clinc150", "digits"])
def test_the_models_we_ship_pass_without_a_failed_line(name: str) -> None:
    found = lines(MODELS / name, megabytes=4096, seconds=60)

    assert failed(found) == {}
    for check_name in ("folder", "digest", "golden rows", "load", "batch", "probabilities", "weights", "operators"):
        assert the(found, check_name).status == OK


def test_a_clean_folder_without_a_calibration_is_warned_of_and_not_failed(tmp_path: Path) -> None:
    found = lines(identity(tmp_path / "toy"))

    assert failed(found) == {}
    assert {line.check for line in found if line.status == WARNING} == {"digest", "temperature", "golden rows"}


def test_a_clean_folder_with_everything_is_all_ok(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_golden_rows(folder, NUMBERS)
    write_calibration(folder, temperature=1.25)

    found = lines(folder)

    assert {line.status for line in found} == {OK}
    assert "1.25" in the(found, "temperature").sentence


@pytest.mark.parametrize("labels", [LABELS[:3], (*LABELS, "other")])
def test_a_wrong_number_of_labels(tmp_path: Path, labels: Sequence[str]) -> None:
    found = failed(lines(identity(tmp_path / "toy", labels=labels)))

    assert list(found) == ["load"]
    assert f"wanted {len(labels)} columns, one per line of labels.txt" in found["load"]


def test_labels_that_stand_twice(tmp_path: Path) -> None:
    found = failed(lines(identity(tmp_path / "toy", labels=("a", "b", "a", "c"))))

    assert list(found) == ["folder"]
    assert "line 3" in found["folder"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert list(failed(lines(tmp_path / "nothing"))) == ["folder"]


# What each mistake about the end of a graph is called; the same words refuse the load.
REFUSED = {
    "double softmax": (softmax_of(4), "softmax", "logits", "softmax twice"),
    "log-softmax as logits": (ends_in("LogSoftmax", axis=1), "softmax", "logits", "log-probabilities"),
    "softmax as sigmoid, said to be logits": (softmax_of(4), "sigmoid", "logits", "exclude each other"),
    "sigmoid as softmax": (ends_in("Sigmoid"), "softmax", "probabilities", "each label stands for itself"),
    "logits as probabilities": (ends_in("Identity"), "softmax", "probabilities", "does not hold probabilities"),
    "softmax as log-probabilities": (softmax_of(4), "softmax", "log_probabilities", "does not hold log-probabilities"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_output_that_is_not_what_the_card_says_fails_the_check(tmp_path: Path, name: str) -> None:
    model, activation, kind, words = REFUSED[name]
    folder = write_model(tmp_path / "toy", model, activation=activation, output=f'kind = "{kind}"')

    found = failed(lines(folder))

    assert words in found["load"]


@pytest.mark.parametrize(
    ("model", "kind"), [(softmax_of(4), "probabilities"), (ends_in("LogSoftmax", axis=1), "log_probabilities")]
)
def test_a_softmax_declared_sigmoid_fails_the_check_and_is_doubted_where_it_is_served(
    tmp_path: Path, model: bytes, kind: str
) -> None:
    folder = write_model(tmp_path / "toy", model, activation="sigmoid", output=f'kind = "{kind}"')

    assert "exclude each other" in failed(lines(folder))["activation"]
    # Labels that complement each other add up to 1 too, so the values alone are no proof.
    assert [doubt.code for doubt in Model(read_bundle(folder), threads=1).doubts] == ["softmax_as_sigmoid"]


@pytest.mark.parametrize("name", REFUSED)
def test_an_output_that_is_not_what_the_card_says_is_not_served(tmp_path: Path, name: str) -> None:
    model, activation, kind, words = REFUSED[name]
    folder = write_model(tmp_path / "toy", model, activation=activation, output=f'kind = "{kind}"')

    with pytest.raises(GraphInvalid, match=words):
        Model(read_bundle(folder), threads=1)


def test_serve_ends_with_the_sentence_of_a_double_softmax(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", softmax_of(4))

    ended = subprocess.run(
        command("serve", folder, "--port", 0),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=60,
    )

    assert ended.returncode != 0
    assert "softmax twice" in ended.stderr


def test_a_sigmoid_said_to_be_logits_of_a_softmax(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", ends_in("Sigmoid"))

    found = lines(folder)

    assert "ends in Sigmoid" in failed(found)["activation"]
    assert the(found, "sigmoid as logits").status == WARNING
    assert [doubt.code for doubt in Model(read_bundle(folder), threads=1).doubts] == ["sigmoid_as_logits"]


def test_a_server_says_what_it_doubts(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", ends_in("Sigmoid"))

    with started(command("serve", folder, "--port", 0)) as server:
        said = server.read_until("doubt")

    assert (said["model"], said["code"]) == ("toy", "sigmoid_as_logits")


def test_a_clean_sigmoid_of_several_labels_passes(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", ends_in("Sigmoid"), activation="sigmoid", output='kind = "probabilities"')

    assert failed(lines(folder)) == {}


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    found = failed(lines(two_labels(tmp_path / "toy", hostile.sick_weights())))

    assert found["weights"] == "1 weight is NaN, in weights."


def test_no_remedy_is_told_twice(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder)
    permute_labels(folder)

    line = the(lines(folder), "digest")

    assert f"{line.sentence} {line.remedy}".count("Run softgate calibrate") == 1


def test_a_time_of_microseconds_is_not_rounded_to_nothing(tmp_path: Path) -> None:
    assert " 0.0" not in the(lines(identity(tmp_path / "toy")), "time").sentence


def test_a_graph_that_never_gives_a_number(tmp_path: Path) -> None:
    model = graph(
        [
            helper.make_node("Sub", ["features", "features"], ["zero"]),
            helper.make_node("Div", ["zero", "zero"], ["logits"]),
        ],
        [tensor("features", np.float32, "batch", 4)],
        [tensor("logits", np.float32, "batch", 4)],
    )

    found = failed(lines(write_model(tmp_path / "toy", model)))

    assert found == {"probabilities": "None of 8 rows gives numbers: every request would fall back."}


def test_a_picture_of_one_grey_is_among_the_extreme_rows(tmp_path: Path) -> None:
    # Each picture by its own deviation, as some are trained: of one grey it is 0.
    model = graph(
        [
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Sub", ["pixels", "mean"], ["centred"]),
            helper.make_node("ReduceL2", ["centred"], ["length"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Div", ["centred", "length"], ["scaled"]),
            helper.make_node("Flatten", ["scaled"], ["logits"], axis=1),
        ],
        [tensor("pixels", np.float32, "batch", 1, 2, 2)],
        [tensor("logits", np.float32, "batch", 4)],
    )

    line = the(lines(write_model(tmp_path / "toy", model, kind="image")), "extreme rows")

    assert (line.status, line.sentence.partition(", ")[2][:12]) == (WARNING, "3 give a NaN")


def test_a_graph_that_takes_no_row_at_a_time(tmp_path: Path) -> None:
    found = failed(lines(write_model(tmp_path / "toy", flat(np.float32, 0, 4, gives=4))))

    assert "no row at a time; wanted at least one" in found["load"]


def test_a_graph_that_no_made_up_row_suits_is_not_said_to_answer(tmp_path: Path) -> None:
    found = lines(write_model(tmp_path / "toy", flat(np.float32, "batch", "any", gives=4)))

    assert the(found, "load").sentence == "The graph loads, but was run on no made-up row."
    assert the(found, "answers").status == WARNING


def test_a_softmax_of_one_label_is_refused(tmp_path: Path) -> None:
    model = linear(np.ones((4, 1), dtype=np.float32))

    found = failed(lines(write_model(tmp_path / "toy", model, labels=("spam",))))

    assert "softmax of one label gives it 1 always; wanted 2 labels or more" in found["folder"]
    assert failed(lines(write_model(tmp_path / "own", model, labels=("spam",), activation="sigmoid"))) == {}


def test_a_truncated_file(tmp_path: Path) -> None:
    found = failed(lines(two_labels(tmp_path / "toy", hostile.truncated())))

    assert "not a whole ONNX model" in found["file"]


def test_one_flipped_bit_under_a_recorded_digest(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder)
    path = folder / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    # In a weight: the file loads and answers as before, nearly.
    content[content.index(np.float32(1).tobytes())] ^= 1
    path.write_bytes(content)

    found = failed(lines(folder))

    assert list(found) == ["digest"]
    assert "made for another model.onnx" in found["digest"]


def test_one_flipped_bit_without_a_digest_is_seen_by_the_golden_rows(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_golden_rows(folder, NUMBERS)
    path = folder / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(1).tobytes()) + 2] ^= 0x20
    path.write_bytes(content)

    assert "a logit differs by" in " ".join(failed(lines(folder)).values())


def test_weights_in_a_file_that_the_card_does_not_list(tmp_path: Path) -> None:
    found = lines(two_labels(tmp_path / "toy", hostile.external_weights("weights.bin")))

    line = the(found, "external data")
    assert line.sentence == "The graph keeps weights in weights.bin, which the card does not list."
    assert line.remedy == 'List it in the card: external_data = ["weights.bin"].'
    assert failed(found).keys() == {"external data", "load"}
    assert "/dev/null" not in str(found)


def test_weights_in_a_file_of_another_folder(tmp_path: Path) -> None:
    found = failed(lines(two_labels(tmp_path / "toy", hostile.external_weights("../../../etc/passwd"))))

    assert found["external data"].endswith("'../../../etc/passwd'; wanted the name of a file beside model.onnx.")
    assert "load" in found


def test_weights_in_a_listed_file(tmp_path: Path) -> None:
    found = lines(write_beside(tmp_path / "toy"))

    assert failed(found) == {}
    assert the(found, "external data").sentence == "1 constant lies in model.onnx.data, as the card says."


def test_a_listed_file_that_the_graph_does_not_use(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy", listed=["model.onnx.data", "other.data"])
    (folder / "1" / "other.data").write_bytes(b"")

    found = failed(lines(folder))

    assert found == {"external data": "The card lists other.data, and the graph keeps nothing there."}


def test_a_listed_file_that_is_not_there(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    (folder / "1" / "model.onnx.data").unlink()

    assert "model.onnx.data: there is no such file" in failed(lines(folder))["folder"]


def test_a_listed_file_that_is_cut_off(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    (folder / "1" / "model.onnx.data").write_bytes(b"x")

    assert "lies at the bytes 0 to 16 of model.onnx.data, which has 1." in failed(lines(folder))["file"]


def test_nan_in_a_listed_file_is_counted(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    (folder / "1" / "model.onnx.data").write_bytes(np.array([1, np.nan, np.nan, 2], dtype=np.float32).tobytes())

    assert failed(lines(folder))["weights"] == "2 weights are NaN, in weights."


def test_a_listed_file_changed_under_a_calibration(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    write_calibration(folder)
    (folder / "1" / "model.onnx.data").write_bytes(bytes(16))

    assert "made for another model.onnx.data" in failed(lines(folder))["digest"]


def test_another_version_of_the_graph_with_its_weights_beside_it(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")

    assert the(lines(folder, folder / "1" / "model.onnx"), "against").status == OK


def test_an_operator_of_somebody_s_own(tmp_path: Path) -> None:
    found = failed(lines(two_labels(tmp_path / "toy", hostile.foreign_operator())))

    assert "evil.example:Exfiltrate" in found["operators"]
    assert "load" in found


@pytest.mark.parametrize("bomb", [hostile.foldable, hostile.bomb_when_run])
def test_a_memory_bomb(tmp_path: Path, bomb: Any) -> None:
    found = failed(lines(two_labels(tmp_path / "toy", bomb(2**35))))

    assert len(found) == 1
    assert "memory" in " ".join(found.values()).lower() or "MiB" in " ".join(found.values())


def test_a_loop_without_end(tmp_path: Path) -> None:
    found = failed(lines(two_labels(tmp_path / "toy", hostile.endless_loop()), seconds=2))

    assert "limits" in found
    assert "did not finish within 2 s" in found["limits"]


def test_the_calibration_of_another_model(tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", linear(np.eye(4, dtype=np.float32) * 3))
    write_calibration(other)
    folder = identity(tmp_path / "toy")
    shutil.copyfile(other / "1" / "calibration.json", folder / "1" / "calibration.json")

    assert "made for another model.onnx" in failed(lines(folder))["digest"]


def test_an_edited_calibration(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder)
    path = folder / "1" / "calibration.json"
    path.write_text(path.read_text().replace('"temperature": 1.0', '"temperature": 2.0'))

    assert "was edited" in failed(lines(folder))["digest"]


@pytest.mark.parametrize("temperature", TEMPERATURE_RANGE)
def test_a_temperature_at_an_end_of_its_range(tmp_path: Path, temperature: float) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder, temperature=temperature)

    assert list(failed(lines(folder))) == ["temperature"]


def test_a_temperature_per_label_is_told_by_its_range(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy", activation="sigmoid")
    write_calibration(folder, temperature=[0.5, 1.0, 2.0, 4.0], evidence={"data": {"rows": 300}})

    found = lines(folder)

    assert failed(found) == {}
    sentence = "T = 0.5000 to 4.0000, one per label, fitted on 300 rows of this model."
    assert the(found, "temperature").sentence == sentence


def test_a_temperature_per_label_at_an_end_of_its_range_names_the_label(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy", activation="sigmoid")
    write_calibration(folder, temperature=[0.5, TEMPERATURE_RANGE[1], 2.0, TEMPERATURE_RANGE[0]])

    found = failed(lines(folder))

    assert list(found) == ["temperature"]
    assert found["temperature"].endswith(", is an end of the range it is clamped to for balance, joke.")


def test_a_calibration_with_a_bias_is_all_ok(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_golden_rows(folder, NUMBERS)
    write_calibration(folder, temperature=1.25, bias=[1.0, -1.0, 0.0, 3.0])

    assert {line.status for line in lines(folder)} == {OK}


def test_a_list_that_does_not_fit_the_labels_fails_the_check(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder, bias=[1.0, -1.0])

    assert "bias: got [1.0, -1.0], wanted a list of 4 finite numbers." in failed(lines(folder))["digest"]


def test_permuted_labels_under_golden_rows(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_golden_rows(folder, np.eye(4).tolist() * 2)
    permute_labels(folder)

    found = failed(lines(folder))

    assert found["golden rows"].startswith("Golden row 0: the label is balance; wanted transfer")


def test_permuted_labels_under_a_calibration(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder)
    permute_labels(folder)

    assert "made for another labels.txt" in failed(lines(folder))["digest"]


def test_a_calibration_alone_verifies_the_labels(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder)

    line = the(lines(folder), "golden rows")

    assert (line.status, line.remedy) == (OK, "")
    assert line.sentence == "There are none to replay; labels.txt is as the calibration recorded."


def test_a_calibration_alone_verifies_the_tokenizer(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    write_calibration(folder)

    line = the(lines(folder), "golden rows")

    assert line.status == OK
    assert "labels.txt and tokenizer.json are as the calibration recorded" in line.sentence


def test_a_void_calibration_verifies_nothing(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")
    write_calibration(folder)
    permute_labels(folder)

    found = lines(folder)

    assert "made for another labels.txt" in failed(found)["digest"]
    assert the(found, "golden rows").status == WARNING


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_says_once_what_cannot_be_verified_and_how_to_mend_it(tmp_path: Path, workers: int) -> None:
    folder = write_text_model(tmp_path / "toy")
    line = the(lines(folder), "golden rows")

    with started(command("serve", folder, "--port", 0, "--workers", workers)) as server:
        records: list[dict[str, Any]] = []
        while sum(record["message"] == "ready" for record in records) < workers:
            records.append(json.loads(server.log.readline()))

    (said,) = [record for record in records if record["message"] == "unverified"]
    assert (said["model"], said["reason"], said["level"]) == ("toy", f"{line.sentence} {line.remedy}", "warning")


@pytest.mark.parametrize("vouch", [write_calibration, partial(write_golden_rows, rows=NUMBERS)])
def test_a_server_says_nothing_of_what_is_verified(tmp_path: Path, vouch: Any) -> None:
    folder = identity(tmp_path / "toy")
    vouch(folder)

    assert unverified(read_bundle(folder)) is None


def test_permuted_labels_without_either_cannot_be_verified(tmp_path: Path) -> None:
    found = lines(identity(tmp_path / "toy", labels=PERMUTED))

    assert the(found, "golden rows").status == WARNING
    assert "labels.txt" in the(found, "golden rows").sentence
    assert "cannot be verified" in the(found, "golden rows").sentence


def test_another_tokenizer_under_golden_rows(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    write_golden_rows(folder, TEXTS)
    swap_tokenizer(folder)

    assert "a logit differs by" in failed(lines(folder))["golden rows"]


def test_another_tokenizer_under_a_calibration(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    write_calibration(folder)
    swap_tokenizer(folder)

    assert "made for another tokenizer.json" in failed(lines(folder))["digest"]


def test_another_tokenizer_without_either_cannot_be_verified(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    swap_tokenizer(folder)

    line = the(lines(folder), "golden rows")

    assert line.status == WARNING
    assert "tokenizer" in line.sentence
    assert "cannot be verified" in line.sentence


def test_a_row_that_depends_on_its_neighbours(tmp_path: Path) -> None:
    found = failed(lines(write_model(tmp_path / "toy", less_the_mean_of_the_batch())))

    assert list(found) == ["batch"]


def test_a_graph_of_one_row_at_a_time_under_a_batch_that_may_vary_fails_to_load(tmp_path: Path) -> None:
    assert "load" in failed(lines(write_model(tmp_path / "toy", one_row(4))))


def test_a_fixed_batch_is_warned_of(tmp_path: Path) -> None:
    model = graph(
        [helper.make_node("Identity", ["features"], ["logits"])],
        [tensor("features", np.float32, 2, 4)],
        [tensor("logits", np.float32, 2, 4)],
    )

    found = lines(write_model(tmp_path / "toy", model))

    assert failed(found) == {}
    assert the(found, "dynamic batch").status == WARNING


def variant(tmp_path: Path, weights: Any) -> Path:
    path = tmp_path / "variant.onnx"
    path.write_bytes(linear(np.asarray(weights, dtype=np.float32)))
    return path


@pytest.mark.parametrize(
    ("factor", "status"), [(1.0, OK), (1.05, WARNING), (3.0, FAILED)], ids=["equal", "near", "far"]
)
def test_another_version_of_the_graph(tmp_path: Path, factor: float, status: str) -> None:
    folder = identity(tmp_path / "toy")

    found = lines(folder, variant(tmp_path, np.eye(4) * factor))

    assert the(found, "against").status == status


def test_another_version_with_its_columns_in_another_order_fails(tmp_path: Path) -> None:
    found = lines(identity(tmp_path / "toy"), variant(tmp_path, np.eye(4)[[1, 0, 2, 3]]))

    assert the(found, "against").status == FAILED


def test_another_version_that_does_not_fit_or_is_not_there_fails(tmp_path: Path) -> None:
    folder = identity(tmp_path / "toy")

    assert the(lines(folder, variant(tmp_path, np.eye(3))), "against").status == FAILED
    assert "cannot be read" in the(lines(folder, tmp_path / "nothing.onnx"), "against").sentence


def test_json_tells_every_line_and_failure_exits_with_1(tmp_path: Path) -> None:
    for folder, code in ((identity(tmp_path / "good"), 0), (write_model(tmp_path / "bad", softmax_of(4)), 1)):
        ended = subprocess.run(
            command("check", folder, "--json"),
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
            timeout=60,
        )

        told = json.loads(ended.stdout)
        assert ended.returncode == code
        assert list(told) == ["folder", "ok", "lines"]
        assert (told["folder"], told["ok"]) == (str(folder), code == 0)
        assert all(list(line) == ["check", "status", "sentence", "remedy"] for line in told["lines"])
        assert {line["status"] for line in told["lines"]} <= {OK, WARNING, FAILED}


def test_every_failed_line_of_the_screen_carries_its_sentence(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "bad", softmax_of(4))

    ended = subprocess.run(
        command("check", folder), capture_output=True, text=True, env=environment(), check=False, timeout=60
    )

    assert ended.returncode == 1
    assert ended.stdout.rstrip().endswith("1 failed.")
    assert "softmax twice" in ended.stdout + ended.stderr
