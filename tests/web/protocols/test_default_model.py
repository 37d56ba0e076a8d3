"""Paths that name no model."""

from pathlib import Path
from typing import Any

import pytest

from graphs import write_text_model
from softgate.errors import UnknownModel
from spoken import call, catalogue_of, write_models

each_path = pytest.mark.parametrize(
    ("protocol", "path", "body"),
    [
        ("hugging_face", "/", {"inputs": "rain"}),
        ("text_embeddings", "/predict", {"inputs": "rain"}),
        ("rasa", "/model/parse", {"text": "rain"}),
    ],
)


@each_path
def test_the_only_model_of_texts_is_the_default(tmp_path: Path, protocol: str, path: str, body: Any) -> None:
    write_text_model(tmp_path / "words", name="words")
    with catalogue_of(tmp_path) as models:
        assert call(models, protocol, path, body).classifier.name == "words"


@each_path
def test_of_several_the_one_that_is_set_is(tmp_path: Path, protocol: str, path: str, body: Any) -> None:
    with catalogue_of(write_models(tmp_path), default="strings") as models:
        assert call(models, protocol, path, body).classifier.name == "strings"


@each_path
@pytest.mark.parametrize("default", [None, "nobody"])
def test_without_one_that_is_served_those_that_are_get_named(
    tmp_path: Path, protocol: str, path: str, body: Any, default: str | None
) -> None:
    for name in ("one", "two"):
        write_text_model(tmp_path / name, name=name)
    with catalogue_of(tmp_path, default=default) as models, pytest.raises(UnknownModel) as caught:
        call(models, protocol, path, body)

    assert str(caught.value) == "Expected the name of a served model: one, two."
