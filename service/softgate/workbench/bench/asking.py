"""One request to a server on loopback, outside of what is measured."""

import http.client
from urllib.parse import urlsplit

from softgate.errors import SoftgateError

TIMEOUT_SECONDS = 60


def ask(url: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of a GET, or of a POST of JSON. Raises SoftgateError where there is no answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as exc:
        raise SoftgateError(f"No answer from {url}{path}: {exc}.") from exc
    finally:
        connection.close()


def samples(url: str) -> dict[str, float]:
    """Every sample of a scrape, by its name with its labels."""
    _, body = ask(url, "/metrics")
    lines = body.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}


def total(scraped: dict[str, float], name: str) -> float:
    """Of all series of a metric."""
    return sum(value for sample, value in scraped.items() if sample.partition("{")[0] == name)
