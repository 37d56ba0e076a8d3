"""What the dialects of texts share: their rows, and how a request of too many is refused."""

from softgate.errors import BodyTooLarge, InvalidInput, TooManyRows
from softgate.policy.classifier import Classifier
from softgate.web.errors import STATUS, Problem


def check_takes_texts(classifier: Classifier) -> None:
    """Raises InvalidInput."""
    kind = classifier.model.bundle.card.input.kind
    if kind != "text":
        raise InvalidInput(
            f"Expected a model that takes texts; {classifier.name}, the default here, takes rows of the kind {kind}. "
            f"POST /v1/models/{classifier.name}/predict takes those."
        )


def row_of(text: str, text_pair: str | None, classifier: Classifier) -> str | tuple[str, str]:
    """A row of one text or of two. Raises InvalidInput where the model takes no pairs."""
    if text_pair is None:
        return text
    if not classifier.model.input.pairs:
        raise InvalidInput(f"Expected one text in each row: {classifier.name} takes no pairs.")
    return text, text_pair


def status(problem: Problem) -> int:
    """That of a problem where too many rows are a body too large."""
    return STATUS[BodyTooLarge] if problem.code == TooManyRows.code else problem.status
