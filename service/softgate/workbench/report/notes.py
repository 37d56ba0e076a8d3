"""What a reader must keep in mind: each a sentence, only where this calibration gives cause."""

from collections.abc import Iterator, Sequence

from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.workbench.report.selection import kept, unseen
from softgate.workbench.report.subject import Part, Subject
from softgate.workbench.report.words import (
    count,
    counted,
    joined,
    number,
    percent,
    printable,
    rows_needed,
    short_percent,
    shortened,
)

NOTABLE_NOISE = 0.005
MAX_NAME = 40
MAX_REASON = 200
MAX_REFUSED = 5
MAX_STATED = 5


def notes(subject: Subject) -> Sequence[str]:
    return [*_rows(subject), *_fit(subject), *_refused(subject), *_parts(subject)]


def _rows(subject: Subject) -> Iterator[str]:
    data = subject.part("data")
    if data.get("evaluation") == "cross-fitted":
        yield (
            f"Fit and evaluation never share a row: each of {data.get('folds') or 'several'} folds was judged by what "
            "the others fitted."
        )
    if data.get("evaluation") == "separate" and data.get("eval"):
        yield f"Judged on a separate file of {counted(data['eval']['rows'], 'row')}."
    if data.get("in_scope") and not data.get("out_of_scope"):
        yield "No out-of-scope rows: how the model treats what it was never taught was not measured."
    if missing := unseen(subject.part("classes")):
        yield f"{count(missing)} of {counted(subject.n_labels, *subject.outcome)} had no row: nothing is known of them."
    if stated := [shortened(name, MAX_NAME) for name in subject.promise.get("stated") or ()]:
        shown = joined([*stated[:MAX_STATED], *([f"{len(stated) - MAX_STATED} more"] if stated[MAX_STATED:] else [])])
        yield f"The card itself sets the threshold of {shown}: what it lets through is in no promise, nor measured."


def _fit(subject: Subject) -> Iterator[str]:
    fit = subject.part("temperature")
    temperatures = [subject.temperature] if isinstance(subject.temperature, int | float) else subject.temperature
    if any(not TEMPERATURE_RANGE[0] < temperature < TEMPERATURE_RANGE[1] for temperature in temperatures):
        yield "The temperature stands at the end of its range: the fit failed. Were these rows used to train the model?"
    if (fit.get("noise") or 0.0) >= NOTABLE_NOISE:
        plain = "" if fit.get("plain") is None else f" Without that allowance T would be {number(fit['plain'], 3)}."
        yield f"About {percent(fit['noise'])} of the labels look wrong; the fit allowed for them.{plain}"
    if fit.get("richer"):
        yield _richer(fit["richer"])


def _richer(richer: Part) -> str:
    name = RICHER.get(richer["map"], printable(str(richer["map"])))
    why = _because(richer)
    gain, deviation = richer.get("gain"), richer.get("standard_error")
    if gain is None:
        return f"{name} was {'used' if richer['chosen'] else 'not used'}{why}."
    # In nats per row: positive where the loss on unseen rows became smaller.
    changed = f"{'lowers' if gain > 0 else 'raises'} the loss on unseen rows by {number(abs(gain))}"
    spread = "" if deviation is None else f" ± {number(deviation)}"
    used = "and is used" if richer["chosen"] else "too little to be used" if gain > 0 else "so it is not used"
    return f"{name} {changed}{spread}, {used}{why}."


def _refused(subject: Subject) -> Iterator[str]:
    """Profiles that were refused beside others that were not; the default has its own place."""
    found = ((name, subject.part("promises", name)) for name in subject.profiles if name != DEFAULT_PROFILE)
    refused = [(name, part) for name, part in found if part and not kept(part)]
    for name, part in refused[:MAX_REFUSED]:
        said = f"Profile {shortened(name, MAX_NAME)}: no threshold carries {short_percent(part['precision'])}."
        yield " ".join(filter(None, [said, rows_needed(part.get("rows_needed"))]))


def _parts(subject: Subject) -> Iterator[str]:
    gate, sets = subject.part("gate"), subject.part("sets")
    if subject.multi_label:
        yield "Several labels may hold at once, so there is neither an out-of-scope gate nor a prediction set."
        return
    if subject.gate is None:
        yield f"No out-of-scope gate{_because(gate)}."
    if not sets.get("sizes"):
        yield f"No prediction sets{_because(sets)}: an unsure row goes to the fallback, and nobody is asked back."


def _because(part: Part) -> str:
    why = shortened(str(part.get("why") or ""), MAX_REASON).rstrip(".")
    return f" ({why})" if why else ""


RICHER = {
    "bias": "A bias per class beside the temperature",
    "per_label": "A temperature per label",
}
