"""From a request that is read to its answer, where a step on the way fails."""

from pathlib import Path

import numpy as np

from graphs import linear, load_classifier, write_model
from softgate.errors import Overloaded
from softgate.policy.readout import Readout
from softgate.web.calls import Answering
from softgate.web.protocols import Answer, Call


def test_a_fallback_that_fails_is_told_as_what_failed(tmp_path: Path) -> None:
    classifier = load_classifier(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32))))
    told: list[Answer | BaseException] = []

    def encode(_: object) -> Answer:
        return Answer(b"")

    def fail(_: Readout) -> Answer:
        raise ArithmeticError

    call = Call(classifier, classifier.check([[1.0, 2.0, 3.0, 4.0]]), encode, fall_back=fail)
    Answering(call, started=1.0, clock=lambda: 3.0, done=told.append)(Overloaded("Full."))
    classifier.close()

    assert [type(one) for one in told] == [ArithmeticError]
    assert classifier.monitor.counts["failures_seconds_sum"].tolist() == [2.0]
