"""
Everything softgate raises on purpose.

* SoftgateError
  x InvalidInput            the caller can mend the request
    + MalformedBody         the body is not JSON of the published form
    + ShapeMismatch         no rows, ragged rows or the wrong number of features
    + NonFiniteInput        a number that the graph's type cannot hold
    + TooManyRows           more rows than one request may carry
    + TextTooLong           a text above the limit
    + ImageInvalid          not a whole PNG or JPEG image of 8 bits per channel
    + ImageTooLarge         an image of more pixels than the limit
    + UnknownProfile        a profile that the card does not define
    + MalformedRequest      bytes that are no HTTP request, or one that two servers could read in two ways
  x BodyTooLarge            the body is above the limit
  x HeadersTooLarge         the request line and the headers are above the limit
  x HttpVersionUnsupported  a version of HTTP other than 1.1 and 1.0
  x RequestTimeout          the client took too long to send its request
  x UnsupportedEncoding     a body compressed in a way that is not known
  x UnsupportedExtension    a part of a protocol that this server does not have
  x Unauthenticated         no token, or none that the server knows
  x Forbidden               the token is not good for this
  x UnknownModel            no such model is served
    + UnknownVersion        the model is served, this version of it is not
  x Overloaded              the queue is full or too long; the caller may retry later
  x DeadlineExceeded        the request waited in the queue, or a client for its answer, for longer than it may
  x ReloadFailed            the models were not exchanged; those served before are served still
  x NotReady                the model is still loading; the caller may retry later
  x ModelError              the operator must mend the folder under models/
    + CardInvalid           classifier.toml or labels.txt
    + CalibrationInvalid    calibration.json, or what it is bound to has changed
    + GraphInvalid          model.onnx does not load, or does not fit its card
    + GoldenMismatch        the graph no longer gives the logits it gave when golden.json was written
    + DigestMismatch        the models are not those whose digest is pinned
    + EngineFailed          the graph raised while it ran
      * MemoryExhausted     for want of memory
  x NoAnswer                softgate.client: nobody answers there, or the connection broke before the answer's end
  x ForeignAnswer           softgate.client: an answer that is none of softgate's
  x DataInvalid             a file of examples cannot be read
  x StartupFailed           the server cannot start

`code` is part of the public API: clients match on it, so it never changes.
No status code appears here; `web/errors.py` owns that table.
"""


class SoftgateError(Exception):
    """Base class: catch this one to catch everything softgate raises on purpose."""

    code = "internal"
    # Told by `softgate.client` alone, which raises a server's error as the class that has its code.
    status: int | None = None
    """Of the answer, where there was one."""
    request_id: str | None = None
    """Under which the server's log has it."""
    rows: range | None = None
    """The places of the rows that were asked about, where they are some of many."""

    @property
    def detail(self) -> str:
        """What was got and what was wanted."""
        return str(self)


class InvalidInput(SoftgateError):
    code = "invalid_input"


class MalformedBody(InvalidInput):
    code = "malformed_body"


class ShapeMismatch(InvalidInput):
    code = "shape_mismatch"


class NonFiniteInput(InvalidInput):
    code = "non_finite_input"


class TooManyRows(InvalidInput):
    code = "too_many_rows"


class TextTooLong(InvalidInput):
    code = "text_too_long"


class ImageInvalid(InvalidInput):
    code = "image_invalid"


class ImageTooLarge(InvalidInput):
    code = "image_too_large"


class UnknownProfile(InvalidInput):
    code = "unknown_profile"


class MalformedRequest(InvalidInput):
    code = "malformed_request"


class BodyTooLarge(SoftgateError):
    code = "body_too_large"


class HeadersTooLarge(SoftgateError):
    code = "headers_too_large"


class HttpVersionUnsupported(SoftgateError):
    code = "http_version_unsupported"


class RequestTimeout(SoftgateError):
    code = "request_timeout"


class UnsupportedEncoding(SoftgateError):
    code = "unsupported_encoding"


class UnsupportedExtension(SoftgateError):
    code = "unsupported_extension"


class Unauthenticated(SoftgateError):
    code = "unauthenticated"


class Forbidden(SoftgateError):
    code = "forbidden"


class UnknownModel(SoftgateError):
    code = "unknown_model"


class UnknownVersion(UnknownModel):
    code = "unknown_version"


class Overloaded(SoftgateError):
    code = "overloaded"


class ReloadFailed(SoftgateError):
    code = "reload_failed"


class DeadlineExceeded(SoftgateError):
    code = "deadline_exceeded"


class NotReady(SoftgateError):
    code = "not_ready"


class ModelError(SoftgateError):
    code = "model_error"


class CardInvalid(ModelError):
    code = "card_invalid"


class CalibrationInvalid(ModelError):
    code = "calibration_invalid"


class GraphInvalid(ModelError):
    code = "graph_invalid"


class GoldenMismatch(ModelError):
    code = "golden_mismatch"


class DigestMismatch(ModelError):
    code = "digest_mismatch"


class EngineFailed(ModelError):
    code = "engine_failed"


class MemoryExhausted(EngineFailed):
    code = "memory_exhausted"


class NoAnswer(SoftgateError):
    code = "no_answer"


class ForeignAnswer(SoftgateError):
    code = "foreign_answer"


class DataInvalid(SoftgateError):
    code = "data_invalid"


class StartupFailed(SoftgateError):
    code = "startup_failed"
