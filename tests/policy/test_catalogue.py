import time
from pathlib import Path

import numpy as np
import pytest

from graphs import linear, write_model, write_text_model
from softgate.errors import GraphInvalid, NotReady, UnknownModel, UnknownVersion
from softgate.policy.catalogue import LOADING, Catalogue, section
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import fields
from softgate.runtime.counts import Layout
from softgate.runtime.repository import find_bundles

EYE = np.eye(4, dtype=np.float32)


def catalogue(folder: Path, *, default: str | None = None) -> Catalogue:
    bundles = find_bundles(folder)
    layout = Layout({section(bundle): fields(axes(bundle)) for bundle in bundles})
    row = np.zeros(layout.width)
    return Catalogue(bundles, lambda name: layout.view(row, name), default=default)


def load(models: Catalogue) -> None:
    models.load(threads=1, clock=lambda: 0.0, max_rows=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_text_model(tmp_path / "words", name="words")
    write_model(tmp_path / "numbers", linear(EYE), name="numbers")
    return tmp_path


def test_nothing_is_ready_before_it_is_loaded(folder: Path) -> None:
    models = catalogue(folder)

    assert not models.ready
    assert models.waiting == {"numbers": LOADING, "words": LOADING}
    with pytest.raises(NotReady, match=r"^words is not ready yet\.$"):
        models.find("words")


def test_everything_is_ready_once_it_is_loaded(folder: Path) -> None:
    models = catalogue(folder)

    load(models)

    assert models.ready
    assert models.waiting == {}
    assert [models.find(name).name for name in ("words", "numbers")] == ["words", "numbers"]
    assert models.find("words", "1") is models.find("words")
    models.close()


def test_a_model_is_measured_as_it_is_loaded(folder: Path) -> None:
    models = catalogue(folder)

    models.load(threads=2, clock=time.perf_counter, max_rows=8)

    for name, most in (("words", 32), ("numbers", 64)):
        pace = models.find(name).model.pace
        assert (pace.threads, list(pace.seconds)) == (1, [1, most])
    models.close()


def test_an_unknown_model_is_told_what_is_served_and_not_what_was_asked_for(folder: Path) -> None:
    models = catalogue(folder)

    for look in (models.find, models.bundle):
        with pytest.raises(UnknownModel) as caught:
            look("<script>")
        assert str(caught.value) == "Expected the name of a served model: numbers, words."


@pytest.mark.parametrize("version", ["2", "01", "", "<script>"])
def test_an_unknown_version_is_told_what_is_served_and_not_what_was_asked_for(version: str, folder: Path) -> None:
    with pytest.raises(UnknownVersion) as caught:
        catalogue(folder).find("words", version)

    assert str(caught.value) == "Expected the served version of words: 1."


def test_a_model_that_fails_leaves_its_reason_and_those_before_it(folder: Path) -> None:
    (folder / "words" / "1" / "model.onnx").write_bytes(b"garbage")
    models = catalogue(folder)

    with pytest.raises(GraphInvalid, match="words: onnxruntime does not load the graph"):
        load(models)

    assert not models.ready
    assert models.waiting.keys() == {"words"}
    assert models.waiting["words"].startswith(f"{folder / 'words'}: onnxruntime does not load the graph")
    assert models.find("numbers").name == "numbers"
    with pytest.raises(NotReady):
        models.find("words")
    models.close()


def test_a_failure_leaves_those_after_it_waiting(folder: Path) -> None:
    (folder / "numbers" / "1" / "model.onnx").write_bytes(b"garbage")
    models = catalogue(folder)

    with pytest.raises(GraphInvalid):
        load(models)

    assert models.waiting["words"] == LOADING
    assert models.classifiers == {}


def test_a_catalogue_without_models_is_not_ready() -> None:
    assert not Catalogue([], lambda _: {}).ready


def test_models_count_in_sections_of_their_own(folder: Path) -> None:
    assert [section(bundle) for bundle in find_bundles(folder)] == ["model/numbers/1", "model/words/1"]


def test_the_default_is_the_model_that_is_named_or_the_only_one_of_texts(folder: Path, tmp_path: Path) -> None:
    assert catalogue(folder).default == "words"
    assert catalogue(folder, default="numbers").default == "numbers"

    write_text_model(tmp_path / "more", name="more")

    assert catalogue(folder).default == ""


@pytest.mark.parametrize(("n_labels", "max_rows", "most"), [(4, 1024, 1024), (4, 8, 8), (20_000, 1024, 52)])
def test_thousands_of_labels_leave_room_for_fewer_rows(tmp_path: Path, n_labels: int, max_rows: int, most: int) -> None:
    labels = [f"label {number}" for number in range(n_labels)]
    write_model(tmp_path / "wide", linear(np.ones((4, n_labels), np.float32)), name="wide", labels=labels)
    models = catalogue(tmp_path)

    models.load(threads=1, clock=lambda: 0.0, max_rows=max_rows)

    assert models.find("wide").max_rows == most
    models.close()
