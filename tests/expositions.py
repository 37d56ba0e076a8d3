"""What a scrape holds, as prometheus_client reads it."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    """By name and labels, read by prometheus_client; a series that comes twice is an error."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def of(series: Series, name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """Those of a name with these labels, by the values of their further labels but what names the model."""
    hidden = {"model", "version", "calibration", *labels}
    return {
        tuple(value for key, value in sorted(held) if key not in hidden): number
        for (own, held), number in series.items()
        if own == name and labels.items() <= dict(held).items()
    }


def value(series: Series, name: str, **labels: str) -> float:
    (found,) = of(series, name, **labels).values()
    return found
