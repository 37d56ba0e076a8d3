"""What is told of models, made of those that are loaded and of those that are not."""

from pathlib import Path

import numpy as np
import pytest

from graphs import bag_of_tokens, flat, linear, load_classifier, word_tokenizer, write_calibration, write_model
from policy.test_catalogue import EYE, catalogue, load
from softgate.policy.catalogue import Unloaded
from softgate.web.protocols.open_inference import metadata


def test_a_graph_of_a_fixed_batch_takes_any_number_of_rows(tmp_path: Path) -> None:
    fixed = bag_of_tokens(batch=1, width=8)
    text = load_classifier(write_model(tmp_path / "text", fixed, kind="text", tokenizer=word_tokenizer()))
    numbers = load_classifier(write_model(tmp_path / "numbers", flat(np.float32, 2, 4, gives=4)))

    for classifier in (text, numbers):
        told = metadata.model(classifier)
        assert {tensor.shape[0] for tensor in (*told.inputs, *told.outputs)} == {-1}
        assert metadata.configuration(classifier).input[0].dims == told.inputs[0].shape[1:]
        classifier.close()


def test_the_card_is_told_as_configuration(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", linear(EYE))
    card = folder / "classifier.toml"
    card.write_text(card.read_text() + "[serving]\nmax_batch = 7\nmax_delay_ms = 1.5\n")
    write_calibration(folder)
    classifier = load_classifier(folder)

    told = metadata.configuration(classifier)

    assert (told.max_batch_size, told.dynamic_batching.preferred_batch_size) == (7, [7])
    assert told.dynamic_batching.max_queue_delay_microseconds == 1500
    assert metadata.model(classifier).properties["calibration"] == classifier.calibration_id
    classifier.close()


def test_the_index_tells_why_a_model_does_not_answer(tmp_path: Path) -> None:
    for name in ("broken", "loading", "there"):
        write_model(tmp_path / name, linear(EYE), name=name)
    models = catalogue(tmp_path)
    load(models)
    models.waiting |= {"broken": "a reason", "loading": "loading"}
    models.unloaded = {"gone": Unloaded("3", "")}

    told = {each.name: (each.version, each.state, each.reason) for each in metadata.index(models, ready=False)}

    assert told == {
        "broken": ("1", "UNAVAILABLE", "a reason"),
        "gone": ("3", "UNAVAILABLE", "unloaded"),
        "loading": ("1", "LOADING", ""),
        "there": ("1", "READY", ""),
    }
    assert [each.name for each in metadata.index(models, ready=True)] == ["there"]
    models.close()


@pytest.mark.parametrize("admin", [False, True])
def test_the_repository_is_an_extension_where_it_can_be_changed(admin: bool) -> None:
    assert ("model_repository" in metadata.server(metadata.OVER_HTTP, admin=admin).extensions) is admin
