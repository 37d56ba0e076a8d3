"""Whatever comes, leaves, expires or breaks meanwhile: each request gets the answer it would get alone, or an error."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from graphs import WORDS, linear, load_classifier, picky, write_model, write_text_model
from hands import HandExecutor, HandLoop, advance, played, turns
from policy.test_classifier import assert_same
from softgate.errors import DeadlineExceeded, EngineFailed
from softgate.policy.batch import Part, Query
from softgate.policy.classifier import Classifier, _group
from softgate.runtime.jobs import Job
from softgate.runtime.session import Session
from softgate.types import Predictions, Rows

CLINC150 = Path(__file__).parents[2] / "models" / "clinc150"
WEIGHTS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
# Of logits, for texts: a batch pads them, and sums over more columns round otherwise.
TOLERANCE = 2e-5
POISON = (9, -7)

numbers = st.lists(st.floats(-100, 100, width=32), min_size=10, max_size=10)
texts = st.lists(st.sampled_from([*WORDS[2:], "unheard"]), max_size=6).map(" ".join)
cells = st.lists(st.sampled_from([0, 1, 2, 3, *POISON]), min_size=1, max_size=1)


@dataclass
class Asked:
    """One request of a scene, and what became of it."""

    rows: Sequence[Any]
    patience: float
    job: Job[Query, Part] | None = None
    left: bool = False
    was_running: bool = False
    """When its client left."""
    told: list[Part | BaseException] = field(default_factory=list)


@dataclass
class Scene:
    """A classifier whose graph runs when it is told to, at times told too."""

    classifier: Classifier
    executor: HandExecutor
    asked: list[Asked] = field(default_factory=list)
    ran: list[int] = field(default_factory=list)

    def put(self, asked: Asked) -> None:
        classifier = self.classifier
        rows = classifier.check(asked.rows)
        expires_at = asyncio.get_running_loop().time() + asked.patience
        asked.job = classifier.put(rows, asked.told.append, profile=None, counted=True, expires_at=expires_at)
        self.asked.append(asked)

    def leave(self, place: int) -> None:
        asked = self.asked[place % len(self.asked)]
        assert asked.job is not None
        if not asked.told and not asked.left:
            asked.left, asked.was_running = True, asked.job not in self.classifier._batcher._queue
        asked.job.left = True

    async def step(self) -> None:
        if self.executor.waiting:
            assert len(self.executor.waiting) == 1
            self.executor.waiting.pop(0)()
        await turns()


def events(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[str, Any]]]:
    request = st.builds(Asked, st.lists(rows, min_size=1, max_size=4), st.sampled_from([1.0, 3.0, 1e9]))
    return st.lists(
        st.one_of(
            st.tuples(st.just("put"), request),
            st.tuples(st.just("step"), st.none()),
            st.tuples(st.just("leave"), st.integers(0, 20)),
            st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0])),
        ),
        max_size=25,
    )


def play(scene: Scene, happening: Sequence[tuple[str, Any]]) -> None:
    """All that happens, then runs until nobody waits."""

    @played
    async def played_scene() -> None:
        for what, how in happening:
            if what == "put":
                scene.put(Asked(how.rows, how.patience))
            elif what == "leave" and scene.asked:
                scene.leave(how)
            elif what == "wait":
                await advance(how)
            elif what == "step":
                await scene.step()
            await turns()
            assert all(now() < job.expires_at for job in scene.classifier._batcher._queue)
        for _ in range(2 * len(scene.asked) + 1):
            await scene.step()
        assert scene.executor.waiting == []
        assert scene.classifier.monitor.counts["queue_rows"][0] == 0

    played_scene()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scene]]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "linear", linear(WEIGHTS))
    write_model(folder / "picky", picky())
    write_text_model(folder / "words")
    (folder / "clinc150").symlink_to(CLINC150)
    loaded: dict[str, Classifier] = {}

    def scene(name: str) -> Scene:
        if name not in loaded:
            loaded[name] = load_classifier(folder / name, clock=now)
        classifier, executor = loaded[name], HandExecutor()
        batcher = classifier._batcher
        batcher._executor, batcher._max_rows, batcher._alarm_at = executor, 8, float("inf")
        return Scene(classifier, executor)

    yield scene
    for classifier in loaded.values():
        classifier.close()


def now() -> float:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return 0.0
    assert isinstance(loop, HandLoop)
    return loop.now


def check(scene: Scene, *, same: Callable[[Predictions, Predictions], None], rows_before: float) -> None:
    """Each was told once, what it would be told alone; nothing of those that left or expired while they waited ran."""
    classifier, least = scene.classifier, 0
    for asked in scene.asked:
        if asked.left:
            assert asked.told == []
            continue
        (told,) = asked.told
        if isinstance(told, DeadlineExceeded):
            assert asked.patience < 1e9
            continue
        if any(row in ([poison] for poison in POISON) for row in asked.rows):
            assert isinstance(told, EngineFailed)
            continue
        assert isinstance(told, Part)
        least += len(asked.rows)
        assert len(told.predictions) == len(asked.rows)
        for number, row in enumerate(asked.rows):
            same(told.predictions.part(number, number + 1), classifier.predict_now(classifier.check([row])))
    ran = classifier.monitor.counts["batch_rows_sum"][0] - rows_before
    # Beyond those answered only what its client left while it was running, if that was no poison.
    assert least <= ran <= least + sum(len(asked.rows) for asked in scene.asked if asked.was_running)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(happening=events(numbers))
def test_numbers_in_a_batch_are_the_bits_of_those_alone(
    scenes: Callable[[str], Scene], happening: list[tuple[str, Any]]
) -> None:
    scene = scenes("linear")
    before = scene.classifier.monitor.counts["batch_rows_sum"][0]

    play(scene, happening)

    check(scene, same=assert_same, rows_before=before)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(happening=events(texts))
def test_texts_whose_sums_are_whole_are_the_bits_of_those_alone(
    scenes: Callable[[str], Scene], happening: list[tuple[str, Any]]
) -> None:
    scene = scenes("words")
    before = scene.classifier.monitor.counts["batch_rows_sum"][0]

    play(scene, happening)

    check(scene, same=assert_same, rows_before=before)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    happening=events(
        st.text(alphabet="abc  defg,.!hij", max_size=80) | st.just("move 50 dollars to my savings account")
    )
)
def test_texts_of_a_real_classifier_are_those_alone_within_the_tolerance(
    scenes: Callable[[str], Scene], happening: list[tuple[str, Any]]
) -> None:
    def close(found: Predictions, alone: Predictions) -> None:
        assert_allclose(found.scores.logits, alone.scores.logits, rtol=0, atol=TOLERANCE)

    scene = scenes("clinc150")
    before = scene.classifier.monitor.counts["batch_rows_sum"][0]

    play(scene, happening)

    check(scene, same=close, rows_before=before)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(happening=events(cells))
def test_a_request_with_a_poison_row_fails_alone(
    scenes: Callable[[str], Scene], happening: list[tuple[str, Any]]
) -> None:
    scene = scenes("picky")
    before = scene.classifier.monitor.counts["batch_rows_sum"][0]

    play(scene, happening)

    check(scene, same=assert_same, rows_before=before)


Feed = Mapping[str, NDArray[np.generic]]


class Breaking(Session):
    """A graph that does not run with the poison in its batch, and does not say why."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, threads=1)
        self.calls = 0

    def run(self, outputs: Sequence[str], feed: Feed, *, keeps_memory: bool = True) -> Sequence[Any]:
        self.calls += 1
        if (next(iter(feed.values())) == POISON[0]).any():
            raise EngineFailed("No.")
        return super().run(outputs, feed, keeps_memory=keeps_memory)


class Losing(Session):
    """A graph that gives one row too few for so many or more."""

    def __init__(self, content: bytes, *, beginning: int) -> None:
        super().__init__(content, threads=1)
        self._beginning = beginning

    def run(self, outputs: Sequence[str], feed: Feed, *, keeps_memory: bool = True) -> Sequence[Any]:
        (found,) = super().run(outputs, feed, keeps_memory=keeps_memory)
        return [found[:-1] if len(found) >= self._beginning else found]


def served_by(folder: Path, session: Callable[[bytes], Session]) -> Classifier:
    content = linear(np.eye(4, dtype=np.float32))
    classifier = load_classifier(write_model(folder, content))
    classifier.model._runner.session = session(content)
    return classifier


async def together(classifier: Classifier, requests: Sequence[Sequence[Any]]) -> list[Predictions | BaseException]:
    """The first runs alone, the others share what follows."""
    coroutines = [classifier.predict(classifier.check(rows)) for rows in requests]
    return await asyncio.gather(*coroutines, return_exceptions=True)


def test_an_error_that_names_no_row_fails_its_own_request_and_few_runs_find_it(tmp_path: Path) -> None:
    requests = [[[number, 2.0, 3.0, 4.0]] for number in range(33)]
    classifier = served_by(tmp_path / "toy", Breaking)
    session = classifier.model._runner.session
    assert isinstance(session, Breaking)

    answers = asyncio.run(together(classifier, requests))

    failed = [number for number, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [POISON[0]]
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, Predictions):
            assert_array_equal(answer.scores.logits, request)
    # The first, the batch of 32, and two halves at each of five levels.
    assert session.calls == 1 + 1 + 2 * 5
    classifier.close()


def test_a_batch_that_comes_back_a_row_short_is_never_dealt_out(tmp_path: Path) -> None:
    requests = [[[number, 2.0, 3.0, 4.0]] for number in range(9)]
    classifier = served_by(tmp_path / "toy", lambda content: Losing(content, beginning=2))

    answers = asyncio.run(together(classifier, requests))

    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, Predictions)
        assert_array_equal(answer.scores.logits, request)
    classifier.close()


def test_rows_that_the_graph_loses_alone_too_are_its_failure(tmp_path: Path) -> None:
    classifier = served_by(tmp_path / "toy", lambda content: Losing(content, beginning=2))

    (answer,) = asyncio.run(together(classifier, [[[1, 2, 3, 4], [5, 6, 7, 8]]]))

    assert isinstance(answer, EngineFailed)
    assert str(answer) == "The graph gave 1 rows for 2."
    classifier.close()


def test_rows_share_a_run_only_with_rows_of_their_shape_and_type() -> None:
    columns = np.dtype([("age", np.float32), ("city", np.int64)])
    others = np.dtype([("city", np.int64), ("age", np.float32)])
    kinds: list[Any] = [
        np.zeros((2, 3), np.float32),
        np.zeros((2, 4), np.float32),
        np.zeros((2, 3), np.float64),
        np.zeros((2, 3), np.int64),
        np.zeros((2, 3, 3), np.float32),
        np.zeros(2, columns),
        np.zeros(2, others),
        ["a text", "another"],
    ]

    groups = [_group(Rows(values)) for values in kinds]

    assert all((one == other) == (one is other) for one in groups for other in groups)
    assert _group(Rows(np.ones((5, 3), np.float32))) == groups[0]
