"""Compressed bodies: inflated no further than any other body may be long, and refused where they are not whole."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import Served
from softgate.errors import BodyTooLarge, MalformedBody, UnsupportedEncoding
from softgate.web.encoding import LEAST_DEFLATED_BYTES, decoder, deflated

LIMIT = 1000
COMPRESS: Mapping[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}
PATH = "/v1/models/words/predict"


def inflated(encoding: bytes, body: bytes, *, step: int = 7, limit: int = LIMIT) -> bytes:
    decoding = decoder(encoding, limit=limit)
    found = b"".join(decoding.feed(body[start : start + step]) for start in range(0, len(body), step))
    decoding.end()
    return found


@given(st.binary(max_size=LIMIT), st.sampled_from([*COMPRESS]), st.integers(1, 50))
def test_what_was_compressed_comes_back_whatever_its_pieces(body: bytes, encoding: bytes, step: int) -> None:
    assert inflated(encoding, COMPRESS[encoding](body), step=step) == body


def test_a_body_that_inflates_to_nothing_is_refused_at_the_limit() -> None:
    compress = zlib.compressobj(wbits=31)
    decoding = decoder(b"gzip", limit=LIMIT)
    decoding.feed(compress.compress(b"") + compress.flush(zlib.Z_SYNC_FLUSH))

    nothing = b"\x00\x00\x00\xff\xff"
    assert [decoding.feed(nothing) for _ in range(LIMIT // 5)] == [b""] * (LIMIT // 5)
    with pytest.raises(BodyTooLarge):
        decoding.feed(nothing * LIMIT)


@pytest.mark.parametrize("encoding", [b"", b"identity", b"Identity"])
def test_a_plain_body_stays_as_it_is(encoding: bytes) -> None:
    assert inflated(encoding, b"as it is") == b"as it is"


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("size", [LIMIT + 1, 100_000_000])
def test_a_bomb_is_refused_at_the_limit(encoding: bytes, size: int) -> None:
    assert len(inflated(encoding, COMPRESS[encoding](bytes(LIMIT)), step=100_000)) == LIMIT
    with pytest.raises(BodyTooLarge, match="at most 1000 bytes once it is inflated"):
        inflated(encoding, COMPRESS[encoding](bytes(size)), step=100_000)


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize(
    "broken",
    [lambda body: body[:-1], lambda body: body + b"x", lambda body: b"x" + body, lambda _: b"", lambda b: b + b],
)
def test_what_is_not_what_it_says_is_refused(encoding: bytes, broken: object) -> None:
    assert callable(broken)
    with pytest.raises(MalformedBody, match="what its Content-Encoding says"):
        inflated(encoding, broken(COMPRESS[encoding](b"some text")))


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"gzip, deflate", b"compress", b"\xff"])
def test_other_encodings_are_refused(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip or deflate"):
        decoder(encoding, limit=LIMIT)


def test_an_answer_is_compressed_where_the_client_accepts_it_and_it_gains() -> None:
    body = b"label " * LEAST_DEFLATED_BYTES
    for accepts, wanted in (
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"deflate;q=0.5, GZIP;q=1.0", b"gzip"),
        (b"gzip;q=0, deflate", b"deflate"),
        (b"br, identity", b""),
        (b"", b""),
    ):
        found, encoding = deflated(body, accepts)
        assert encoding == wanted
        assert inflated(encoding, found, limit=len(body)) == body
    assert deflated(body[: LEAST_DEFLATED_BYTES - 1], b"gzip") == (body[: LEAST_DEFLATED_BYTES - 1], b"")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_compressed_request_is_answered_like_another(server: Served, encoding: str) -> None:
    body = json.dumps({"inputs": ["a b c"], "id": "same"}).encode()
    sent = COMPRESS.get(encoding.encode(), bytes)(body)

    answer = server.client.post(PATH, content=sent, headers={"content-encoding": encoding})

    assert answer.status_code == 200
    assert answer.content == server.client.post(PATH, content=body).content


@pytest.mark.parametrize(
    ("sent", "encoding", "status", "code"),
    [
        (gzip.compress(bytes(50_000_000)), "gzip", 413, "body_too_large"),
        (b"\x1f\x8b", "gzip", 400, "malformed_body"),
        (b"{}", "br", 415, "unsupported_encoding"),
    ],
)
def test_a_server_refuses_bombs_and_what_it_cannot_read(
    server: Served, sent: bytes, encoding: str, status: int, code: str
) -> None:
    answer = server.client.post(PATH, content=sent, headers={"content-encoding": encoding})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert server.client.get("/readyz").status_code == 200
