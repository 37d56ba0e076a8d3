from pathlib import Path

import pytest

from softgate.errors import CardInvalid
from softgate.runtime.card import (
    Card,
    InputCard,
    OutputCard,
    Profile,
    RoutingCard,
    ServingCard,
    read_card,
)
from softgate.runtime.inputs.tensor import TensorKeys
from softgate.runtime.inputs.text import TextKeys
from softgate.runtime.labels import check_names

SHORT = """
name = "toy"
activation = "softmax"
[input]
kind = "tensor"
[routing]
fallback = "human"
"""
WHOLE = """
name = "clinc150"
activation = "entmax15"
version = 2
[input]
kind = "text"
tensor = "ids"
max_tokens = 64
[output]
tensor = "scores"
kind = "log_probabilities"
[routing]
fallback = "human"
abstain = "smalltalk"
precision = 0.9
risk = 0.2
out_of_scope = 0
coverage = 0.8
clarify = 0
threshold = 0.7
[routing.thresholds]
banking = 0.9
[routing.routes]
transfer = "banking"
[routing.profiles.high_risk]
precision = 0.99
[routing.profiles.screening]
risk = 0.3
[serving]
max_batch = 8
max_delay_ms = 2.5
max_queue = 16
max_queue_ms = 250
max_padded_tokens = 2000
threads = 2
parallel_runs = 3
[monitoring]
alarm_every = 500
"""


def read(folder: Path, text: str) -> Card:
    path = folder / "classifier.toml"
    path.write_text(text)
    return read_card(path)


def refusal(folder: Path, text: str) -> list[str]:
    """The mistakes named, without the file's name, which all of them start with."""
    with pytest.raises(CardInvalid) as caught:
        read(folder, text)
    start = f"{folder / 'classifier.toml'}: "
    lines = str(caught.value).split("\n")
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


def test_a_card_is_read_as_it_is_written(tmp_path: Path) -> None:
    card = read(tmp_path, WHOLE)

    assert (card.name, card.activation, card.version, card.monitoring.alarm_every) == ("clinc150", "entmax15", 2, 500)
    assert card.input == InputCard("text", TextKeys("ids", 64, attention_mask=None, token_type_ids=None))
    assert card.output == OutputCard(kind="log_probabilities", tensor="scores")
    assert card.routing == RoutingCard(
        fallback="human",
        abstain="smalltalk",
        precision=0.9,
        risk=0.2,
        out_of_scope=0.0,
        coverage=0.8,
        clarify=0,
        threshold=0.7,
        thresholds={"banking": 0.9},
        priority=(),
        routes={"transfer": "banking"},
        profiles={"high_risk": Profile(precision=0.99, risk=0.2), "screening": Profile(precision=0.9, risk=0.3)},
    )
    assert card.serving == ServingCard(
        max_batch=8,
        max_delay_ms=2.5,
        max_queue=16,
        max_queue_ms=250.0,
        run_on="auto",
        max_padded_tokens=2000,
        threads=2,
        parallel_runs=3,
    )


def test_what_a_card_leaves_out_has_the_default_of_the_design(tmp_path: Path) -> None:
    card = read(tmp_path, SHORT)

    assert (card.version, card.monitoring.alarm_every) == (None, 10_000)
    assert card.input == InputCard("tensor", TensorKeys(tensor=None, columns=None, missing=None))
    assert card.output == OutputCard(kind="logits", tensor=None)
    assert card.routing == RoutingCard(
        fallback="human",
        abstain="human",
        precision=0.95,
        risk=0.1,
        out_of_scope=0.05,
        coverage=0.95,
        clarify=3,
        threshold=None,
        thresholds={},
        priority=(),
        routes={},
        profiles={},
    )
    assert card.serving == ServingCard(
        max_batch=64,
        max_delay_ms=0.0,
        max_queue=1024,
        max_queue_ms=1000.0,
        run_on="auto",
        max_padded_tokens=4096,
        threads=0,
        parallel_runs=0,
    )


def test_the_raw_values_hold_no_default(tmp_path: Path) -> None:
    assert read(tmp_path, SHORT).raw == {
        "name": "toy",
        "activation": "softmax",
        "input": {"kind": "tensor"},
        "routing": {"fallback": "human"},
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "toy"', "", r"name: missing; wanted a string matching [a-z0-9][a-z0-9._-]{0,62}."),
        ('"toy"', '"Toy!"', r"name: got 'Toy!', wanted a string matching [a-z0-9][a-z0-9._-]{0,62}."),
        ('"softmax"', '"tanh"', "activation: got 'tanh', wanted one of entmax15, sigmoid, softmax, sparsemax."),
        ('"softmax"', '"Sigmoid"', "activation: got 'Sigmoid', wanted one of entmax15, sigmoid, softmax, sparsemax."),
        ("[input]", "version = 0\n[input]", "version: got 0, wanted an integer from 1 to 1000000000."),
        ("[input]", "version = true\n[input]", "version: got True, wanted an integer from 1 to 1000000000."),
        ("[input]", "version = 1.0\n[input]", "version: got 1.0, wanted an integer from 1 to 1000000000."),
        ('"tensor"', '"sound"', "input.kind: got 'sound', wanted one of image, tensor, text."),
        ('"tensor"', '"text"\nmax_tokens = 0', "input.max_tokens: got 0, wanted an integer from 1 to 100000."),
        (
            '"tensor"',
            '"tensor"\nmax_tokens = 5',
            "input.max_tokens: unknown key; known here: columns, kind, missing, tensor.",
        ),
        (
            '"tensor"',
            '"text"\nmissing = true',
            "input.missing: unknown key; known here: attention_mask, kind, max_tokens, tensor, token_type_ids.",
        ),
        ('[input]\nkind = "tensor"', "", "input.kind: missing; wanted one of image, tensor, text."),
        ('"human"', "5", "routing.fallback: got 5, wanted a string."),
        ('"human"', '""', "routing.fallback: got '', wanted a string."),
        ('fallback = "human"', "", "routing.fallback: missing; wanted a string."),
    ],
)
def test_a_mistake_in_what_a_card_must_say_is_named_once(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, SHORT.replace(old, new, 1)) == [message]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("threshold = true", "routing.threshold: got True, wanted a number from 0 to 1."),
        ('threshold = "0.7"', "routing.threshold: got '0.7', wanted a number from 0 to 1."),
        ("threshold = 1.1", "routing.threshold: got 1.1, wanted a number from 0 to 1."),
        ("precision = nan", "routing.precision: got nan, wanted a number above 0 and below 1."),
        ("risk = inf", "routing.risk: got inf, wanted a number above 0 and below 1."),
        ("coverage = 1.0", "routing.coverage: got 1.0, wanted a number above 0 and below 1."),
        ("clarify = 2.5", "routing.clarify: got 2.5, wanted an integer from 0 to 100."),
        ("abstain = 1979-05-27", "routing.abstain: got datetime.date(1979, 5, 27), wanted a string."),
        ("thresholds = {human = -1}", "routing.thresholds.human: got -1, wanted a number from 0 to 1."),
        ("thresholds = 3", "routing.thresholds: got 3, wanted a table."),
        ("routes = {transfer = []}", "routing.routes.transfer: got [], wanted a string."),
        ("profiles = {bold = 1}", "routing.profiles.bold: got 1, wanted a table."),
        ("profiles = {bold = {risk = 2}}", "routing.profiles.bold.risk: got 2, wanted a number above 0 and below 1."),
        ("profiles = {bold = {rsik = 0}}", "routing.profiles.bold.rsik: unknown key; did you mean risk?"),
        (
            "profiles = {default = {}}",
            "routing.profiles.default: a request without a profile has this one; wanted another name.",
        ),
        ("[serving]\nmax_batch = 0", "serving.max_batch: got 0, wanted an integer from 1 to 65536."),
        ("[serving]\nmax_delay_ms = -1", "serving.max_delay_ms: got -1, wanted a number from 0 to 1000."),
        (
            "[serving]\nmax_padded_tokens = 0",
            "serving.max_padded_tokens: got 0, wanted an integer from 1 to 1000000000.",
        ),
        ("[serving]\nparallel_runs = 33", "serving.parallel_runs: got 33, wanted an integer from 0 to 32."),
        ("[serving]\nthreads = -1", "serving.threads: got -1, wanted an integer from 0 to 1024."),
        ("[serving]\nmax_queue = 1.5", "serving.max_queue: got 1.5, wanted an integer from 1 to 1000000."),
        ("[monitoring]\nalarm_every = 3", "monitoring.alarm_every: got 3, wanted an integer from 100 to 1000000000."),
        ("priority = 'a'", "routing.priority: got 'a', wanted a list of different strings."),
        ("priority = ['a', 'a']", "routing.priority: got ['a', 'a'], wanted a list of different strings."),
        ("[output]\ntensor = 3", "output.tensor: got 3, wanted a string."),
        (
            "[monitoring]\nwindow = 3",
            "monitoring.window: unknown key; known here: alarm_every, below_threshold_above, clarify_above, "
            "mean_confidence_above, mean_confidence_below, non_finite_above.",
        ),
        ("threshhold = 0.7", "routing.threshhold: unknown key; did you mean threshold?"),
        ("[ruoting]", "ruoting: unknown key; did you mean routing?"),
        ("[output]\nkind = 'z'", "output.kind: got 'z', wanted one of logits, probabilities, log_probabilities."),
    ],
)
def test_a_mistake_in_what_a_card_may_say_is_named_once(line: str, message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, SHORT + line) == [message]


def test_several_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = SHORT.replace('"toy"', "1").replace('"tensor"', '"txt"') + "precison = 2\nrisk = -1"

    assert [line.partition(":")[0] for line in refusal(tmp_path, text)] == [
        "name",
        "input.kind",
        "routing.risk",
        "routing.precison",
    ]


def test_a_value_too_long_to_quote_is_cut(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, SHORT + f'abstain = ["{"x" * 1000}"]')

    assert len(line) < 120


@pytest.mark.parametrize("content", [b"name = ", b"name = 'a'\nname = 'b'", b"\xff\xfe", b"\xef\xbb\xbfname = 'a'"])
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "classifier.toml"
    path.write_bytes(content)

    with pytest.raises(CardInvalid, match=r"classifier\.toml: not a readable TOML file: "):
        read_card(path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match=r"classifier\.toml: there is no such file\. A model folder holds a "):
        read_card(tmp_path / "classifier.toml")


def test_a_route_for_an_unknown_label_and_a_threshold_for_an_unknown_route_are_named(tmp_path: Path) -> None:
    card = read(tmp_path, SHORT + 'routes = {a = "ab", b = "ab", d = "e"}\nthresholds = {ab = 0.5, c = 0.5, b = 0.1}')

    with pytest.raises(CardInvalid) as caught:
        check_names(card, ("a", "b", "c"), path=Path("card"))

    assert str(caught.value).split("\n") == [
        "card: routing.routes.d: unknown label; labels.txt does not hold it.",
        "card: routing.thresholds.b: unknown route; wanted one of ['ab', 'c'].",
    ]


def test_names_that_exist_pass(tmp_path: Path) -> None:
    card = read(tmp_path, SHORT + 'routes = {a = "ab", b = "ab"}\nthresholds = {ab = 0.5, c = 0.5}')

    check_names(card, ("a", "b", "c"), path=Path("card"))


def test_labels_that_hold_at_once_have_thresholds_and_a_priority_of_their_own(tmp_path: Path) -> None:
    text = SHORT.replace("softmax", "sigmoid") + 'routes = {a = "ab", b = "ab"}\n'
    card = read(tmp_path, text + 'priority = ["b", "z"]\nthresholds = {a = 0.5, ab = 0.5}')

    assert card.multi_label
    assert card.routing.priority == ("b", "z")
    with pytest.raises(CardInvalid) as caught:
        check_names(card, ("a", "b", "c"), path=Path("card"))
    assert str(caught.value).split("\n") == [
        "card: routing.thresholds.ab: unknown label; wanted one of ['a', 'b', 'c'].",
        "card: routing.priority: 'z' is unknown; labels.txt does not hold it.",
    ]


def test_a_priority_of_labels_that_exclude_each_other_is_refused(tmp_path: Path) -> None:
    card = read(tmp_path, SHORT + 'priority = ["b"]')

    with pytest.raises(
        CardInvalid, match=r"^card: routing\.priority orders labels that hold at once, which only a sig"
    ):
        check_names(card, ("a", "b"), path=Path("card"))
