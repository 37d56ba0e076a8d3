"""The classifiers this process serves, by name: which are ready, and why the others are not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from softgate.errors import NotReady, SoftgateError, UnknownModel, UnknownVersion
from softgate.policy.classifier import Classifier
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import Monitor
from softgate.runtime.repository import Bundle, Model
from softgate.types import Floats

LOADING = "loading"
# Rows by labels of one request: an answer of more holds up everybody else for seconds while it is written, and takes
# gigabytes.
MOST_PROBABILITIES = 2**20


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A model that somebody had unloaded: it is not served until it is loaded again."""

    version: str
    digest: str
    """Of what was served, as `bundle_digest` gives it."""


class Catalogue:
    """Bundles on their way to being classifiers."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        counts: Callable[[str], Mapping[str, Floats]],
        *,
        default: str | None = None,
        unloaded: Mapping[str, Unloaded] = MappingProxyType({}),
    ) -> None:
        """
        `counts` gives a model's arrays of counts by the name that `section` makes; `unloaded`: by name.

        `default`: the model of requests that name none; None: the only one that takes texts.
        """
        self.bundles = {bundle.name: bundle for bundle in bundles}
        self.unloaded = unloaded
        of_texts = [bundle.name for bundle in bundles if bundle.card.input.kind == "text"]
        self.default = default or (of_texts[0] if len(of_texts) == 1 else "")
        """Empty where there is none; it need not be served."""
        self.classifiers: dict[str, Classifier] = {}
        self.waiting = dict.fromkeys(self.bundles, LOADING)
        """Why each model that is not ready is not, by name."""
        self.leaving = False
        """The process is about to end: it still answers, and is to be sent nothing new."""
        self._counts = counts

    @property
    def ready(self) -> bool:
        return bool(self.classifiers) and not self.waiting and not self.leaving

    def load(self, *, threads: int, clock: Callable[[], float], max_rows: int) -> None:
        """Load, warm and check every bundle; blocks. Raises the ModelError of the first that fails."""
        for name, bundle in self.bundles.items():
            most = max(1, MOST_PROBABILITIES // len(bundle.labels))
            try:
                model = Model(bundle, threads=threads, clock=clock)
                monitor = Monitor(self._counts(section(bundle)), axes(bundle))
                classifier = Classifier(model, monitor, clock=clock, max_rows=min(max_rows, most))
                classifier.place(threads=threads)
            except SoftgateError as exc:
                self.waiting[name] = str(exc)
                raise
            self.classifiers[name] = classifier
            del self.waiting[name]

    def bundle(self, name: str, version: str | None = None) -> Bundle:
        """Raises UnknownModel and UnknownVersion, whose messages name what is served, not what was asked for."""
        bundle = self.bundles.get(name)
        if bundle is None:
            raise UnknownModel(f"Expected the name of a served model: {', '.join(self.bundles) or 'there is none'}.")
        if version not in (None, bundle.version):
            raise UnknownVersion(f"Expected the served version of {name}: {bundle.version}.")
        return bundle

    def find(self, name: str, version: str | None = None) -> Classifier:
        """Raises UnknownModel, UnknownVersion and NotReady."""
        self.bundle(name, version)
        classifier = self.classifiers.get(name)
        if classifier is None:
            raise NotReady(f"{name} is not ready yet.")
        return classifier

    def close(self) -> None:
        for classifier in self.classifiers.values():
            classifier.close()


def section(bundle: Bundle) -> str:
    """The name of the counts of a model version under its calibration."""
    identity = "" if bundle.calibration is None else f"/{bundle.calibration.id}"
    return f"model/{bundle.name}/{bundle.version}{identity}"
