"""
Expressions of Prometheus as the dashboards use them.

Every series is chosen by the dashboard's variables: a model's by model, version and instance, a server's by instance, a
recorded one, which is the fleet's, by model, version and calibration.
"""

INTERVAL = "$__rate_interval"
RANGE = "$__range"
BY_MODEL = "model, version, calibration"
"""What tells one set of numbers from another: a new calibration is not to be added to the one that it replaces."""
MODEL = "{{model}} {{version}} {{calibration}}"
"""The same in a legend."""
_CHOSEN = tuple(f'{label}=~"${label}"' for label in ("model", "version", "calibration"))


def of_model(name: str, *chosen: str) -> str:
    """The series of a metric that has the labels of a model; `chosen` holds further matchers."""
    return _selected(name, *_CHOSEN, 'instance=~"$instance"', *chosen)


def of_server(name: str, *chosen: str) -> str:
    """The series of a metric that is a process's."""
    return _selected(name, 'instance=~"$instance"', *chosen)


def recorded(name: str, *chosen: str) -> str:
    """The series of a recording rule, given without its level."""
    return _selected(f"softgate:{name}", *_CHOSEN, *chosen)


def total(labels: str, expression: str) -> str:
    return f"sum by ({labels}) ({expression})"


def largest(labels: str, expression: str) -> str:
    return f"max by ({labels}) ({expression})"


def rate(series: str) -> str:
    return f"rate({series}[{INTERVAL}])"


def increase(series: str, *, window: str = INTERVAL, offset: str = "") -> str:
    return f"increase({series}[{window}]{f' offset {offset}' if offset else ''})"


def per_second(labels: str, series: str) -> str:
    """Of a counter, summed over all but these labels."""
    return total(labels, rate(series))


def share(labels: str, part: str, whole: str) -> str:
    """One counter's part of another, by labels that both have."""
    return f"{per_second(labels, part)} / {per_second(labels, whole)}"


def share_by(label: str, counter: str, *, window: str = INTERVAL, offset: str = "") -> str:
    """What part of a model's count each value of a label has."""
    counted = increase(counter, window=window, offset=offset)
    return f"{total(f'{BY_MODEL}, {label}', counted)} / on ({BY_MODEL}) group_left () {total(BY_MODEL, counted)}"


def mean(histogram: str) -> str:
    """Of what a histogram has observed, by model."""
    return share(BY_MODEL, of_model(f"{histogram}_sum"), of_model(f"{histogram}_count"))


def quantile(part: float, histogram: str) -> str:
    """Estimated from buckets, by model."""
    return f"histogram_quantile({part}, {per_second(f'{BY_MODEL}, le', of_model(f'{histogram}_bucket'))})"


def named(series: str, label: str) -> str:
    """
    By one label `of` that holds the model's name too: what bars stand beside each other by.

    There is no room for version and calibration; of several the largest value has the bar.
    """
    return f'max by (of) (label_join({series}, "of", " ", "model", "{label}"))'


def furthest(count: int, difference: str) -> str:
    """The series that lie furthest from 0, with their sign."""
    return f"({difference}) and topk({count}, abs({difference}))"


def _selected(name: str, *matchers: str) -> str:
    return f"{name}{{{', '.join(matchers)}}}"
