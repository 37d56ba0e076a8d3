"""What is written is what Prometheus's own parser reads."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from softgate.web.metrics.text import Family, Part, Template, each, one

Values = list[float]
numbers = st.floats() | st.sampled_from([0.0, -0.0, 1e16, 1e-7, 2.0**53, 5e-324, 1.7976931348623157e308])


def read(text: bytes) -> dict[str, float]:
    """Values by the label of that name."""
    families = text_string_to_metric_families(text.decode())
    return {sample.labels["name"]: sample.value for family in families for sample in family.samples}


@given(st.lists(numbers, min_size=1, max_size=20))
def test_any_number_is_read_as_it_was(values: Values) -> None:
    names = [str(place) for place in range(len(values))]
    part: Part[Values] = each({}, "name", names, lambda source: source)
    text = Template([Family("softgate_toy", "gauge", "A toy.", [part])]).fill(values)

    found = read(text)

    assert list(map(repr, found.values())) == [repr(float(value)) for value in values]
    assert list(found) == names


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5, unique=True))
def test_any_label_is_read_as_it_was(names: list[str]) -> None:
    part: Part[Values] = each({}, "name", names, lambda _: np.arange(len(names), dtype=np.float64))

    assert read(Template([Family("softgate_toy", "gauge", "A toy.", [part])]).fill([])) == dict(
        zip(names, map(float, range(len(names))), strict=True)
    )


def test_families_stand_one_behind_the_other_and_empty_ones_nowhere() -> None:
    empty: Part[Values] = Part([], lambda _: ())
    families = [
        Family("softgate_a_total", "counter", "100 % of it.", [one({"name": "%s"}, lambda source: source[0])]),
        Family("softgate_none", "gauge", "Nothing.", [empty]),
        Family("softgate_b", "gauge", "Another.", [empty, one({}, lambda _: math.nan)]),
    ]

    assert Template(families).fill([3.0]).decode().splitlines() == [
        "# HELP softgate_a_total 100 % of it.",
        "# TYPE softgate_a_total counter",
        'softgate_a_total{name="%s"} 3.0',
        "# HELP softgate_b Another.",
        "# TYPE softgate_b gauge",
        "softgate_b NaN",
    ]


@pytest.mark.parametrize("families", [[], [Family("softgate_none", "gauge", "Nothing.", [])]])
def test_no_series_are_no_text(families: list[Family[Values]]) -> None:
    assert Template(families).fill([]) == b""
