"""
Tells the story of docs/monitoring.md to a real server at a person's pace, and draws what a real Prometheus saw of it.

    make pictures

Writes the pictures and story.json, the figures of the text, into docs/pictures. Takes four minutes.
"""

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import story  # noqa: E402
from dashboards import DASHBOARDS, Dashboard, Panel, Sight, drawn, read  # noqa: E402
from drawing import draw, save  # noqa: E402
from drawn_panels import DOTS_PER_INCH, show  # noqa: E402
from scraped import Prometheus, scraping, wait_for  # noqa: E402
from servers import Served, served  # noqa: E402

OUTPUT = ROOT / "docs" / "pictures"
ROWS_PER_SECOND = 20
STRANGE_SECONDS, MENDED_SECONDS, QUIET_SECONDS = 50, 20, 20
SCRAPES = "1s"
CONFIDENCE, ROUTING, _ = (read(path) for path in DASHBOARDS)
FIRING = 'ALERTS{alertname=~"Softgate.*", alertstate="firing"}'
ALERTS: Panel = {
    "title": "Alerts that fire",
    "type": "state-timeline",
    "targets": [{"expr": f"sum by (alertname) ({FIRING})", "legendFormat": "{{alertname}}"}],
    "fieldConfig": {"defaults": {"mappings": [{"options": {"1": {"text": "firing", "color": "red"}}}]}},
}
SHOWN: Sequence[tuple[Dashboard, str]] = (
    (ROUTING, "Abstain"),
    (CONFIDENCE, "Mean confidence"),
    (CONFIDENCE, "Evidence"),
)
MARKS = {"strange": "one in five\nis a stranger", "alarm": "alarm", "mended": "mended", "acknowledged": "acknowledged"}


class Counts(NamedTuple):
    """Of all rows so far."""

    rows: float
    abstained: float
    confidence: float

    def since(self, before: "Counts") -> Mapping[str, float]:
        rows = self.rows - before.rows
        return {
            "rows": rows,
            "abstain_share": (self.abstained - before.abstained) / rows,
            "mean_confidence": (self.confidence - before.confidence) / rows,
        }


class Teller:
    """Sends rows at an even pace and remembers when each was answered."""

    def __init__(self, server: Served) -> None:
        self.server = server
        self.answered: list[float] = []

    def send(self, rows: Sequence[str]) -> Counts:
        started = time.monotonic()
        for number, row in enumerate(rows):
            time.sleep(max(0.0, started + number / ROWS_PER_SECOND - time.monotonic()))
            story.send(self.server, [row])
            self.answered.append(time.time())
        return self._counted()

    def _counted(self) -> Counts:
        samples = self.server.metrics().items()
        names = ("softgate_rows_total", "softgate_decisions_total", "softgate_confidence_ratio_sum")
        kept = ("", 'action="abstain"', "")
        return Counts(
            *(
                sum(value for name, value in samples if name.startswith(f"{metric}{{") and part in name)
                for metric, part in zip(names, kept, strict=True)
            )
        )


def tell(server: Served, prometheus: Prometheus) -> tuple[dict[str, float], dict[str, Any]]:
    """When things happened, unix times; and the figures of the text."""
    sentences, teller = story.sentences(), Teller(server)
    wait_for(lambda: prometheus.query("softgate_rows_total"))
    at = {"start": time.time()}
    ordinary = teller.send(sentences.ordinary[: story.ORDINARY])
    quiet = story.report(server)
    at["strange"] = time.time()
    mixed = teller.send(sentences.mixed(STRANGE_SECONDS * ROWS_PER_SECOND))
    drifted = story.report(server)
    at["mended"] = time.time()
    teller.send(sentences.ordinary[: MENDED_SECONDS * ROWS_PER_SECOND])
    at["acknowledged"] = time.time()
    story.acknowledge(server)
    teller.send(sentences.ordinary[: QUIET_SECONDS * ROWS_PER_SECOND])
    at["end"] = time.time()
    raised = {state["detector"]: state for state in drifted["detectors"] if state["alarm"]}
    at["alarm"] = min(state["raised_at"] for state in raised.values())
    delays = story.delays(sentences, runs=2000, n_rows=1000)
    return at, {
        "ordinary": {**ordinary.since(Counts(0, 0, 0)), "alarms": sum(state["alarms"] for state in quiet["detectors"])},
        "mixed": mixed.since(ordinary),
        "reference_mean_confidence": quiet["reference"]["mean_confidence"],
        "rows_until_alarm": int(np.searchsorted(teller.answered, at["alarm"])) - story.ORDINARY,
        "alarms": {detector: state["alarms"] for detector, state in raised.items()},
        "alerts": _alerts(prometheus, at),
        "psi": {name: prometheus.value("softgate:confidence:psi1h", at[name]) for name in ("alarm", "mended")},
        "delay": {str(pods): _of_pods(delays, pods) for pods in (1, 2, 8)},
    }


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _of_pods(delays: NDArray[np.intp], pods: int) -> Mapping[str, float]:
    """Rows of the whole fleet, shared evenly, until the first of its pods alarms."""
    rows = delays[: len(delays) // pods * pods].reshape(-1, pods).min(axis=1) * pods
    return {"median": float(np.median(rows)), "95_in_100": float(np.quantile(rows, 0.95))}


def _alerts(prometheus: Prometheus, at: Mapping[str, float]) -> Mapping[str, Mapping[str, float]]:
    """By name: how many seconds after the first alarm it fired, and how many after the acknowledgement it ended."""
    found = prometheus.query_range(FIRING, start=at["start"], end=at["end"], step=0.5)
    return {
        sample["metric"]["alertname"]: {
            "fired_after_seconds": sample["values"][0][0] - at["alarm"],
            "ended_after_seconds": sample["values"][-1][0] - at["acknowledged"],
        }
        for sample in found
    }


def draw_story(sight: Sight, at: Mapping[str, float]) -> None:
    """What the on-call person looked at, one above the other, with what happened."""
    figure = Figure(figsize=(11, 7.5), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    shown = [(dashboard, next(p for p in drawn(dashboard) if p["title"] == title)) for dashboard, title in SHOWN]
    shown.append((CONFIDENCE, ALERTS))
    rows = figure.subplots(len(shown), sharex=True)
    for axes, (dashboard, panel) in zip(rows, shown, strict=True):
        show(axes, panel, sight, dashboard)
        axes.set_title(panel["title"], fontsize=9, loc="left", weight="bold")
        for name in MARKS:
            axes.axvline(at[name] - sight.start, color="#33363d", linewidth=0.8, linestyle=":")
    for name, text in MARKS.items():
        rows[0].annotate(
            text,
            (at[name] - sight.start, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if name == "strange" else 3, 3),
            textcoords="offset points",
            fontsize=7,
            ha="right" if name == "strange" else "left",
        )
    save(figure, OUTPUT / "story.png")


def draw_all(prometheus: Prometheus, at: Mapping[str, float]) -> None:
    """The dashboards as they are while strangers come, and the whole story."""
    draw_story(Sight(prometheus, at["start"], at["end"]), at)
    for path in DASHBOARDS:
        draw(read(path), Sight(prometheus, at["start"], at["mended"]), OUTPUT / f"{path.stem}.png")


def main() -> None:
    try:
        story.sentences()
    except pytest.skip.Exception as exc:
        sys.exit(str(exc))
    OUTPUT.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(story.FOLDER) as server,
        scraping([server.url], Path(folder), every=SCRAPES) as prometheus,
    ):
        at, figures = tell(server, prometheus)
        (OUTPUT / "story.json").write_text(json.dumps(rounded(figures), indent=2) + "\n")
        draw_all(prometheus, at)


if __name__ == "__main__":
    main()
