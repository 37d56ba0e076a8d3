"""
Asks a softgate server: `Client`, and `AsyncClient` for asyncio.

Neither reads the environment or follows a redirect; both go straight to the server that they are told. What goes wrong
is told by the classes of `softgate.errors`, a server's own error by the class that has its code.
"""

try:
    from softgate.client.asynchronous import AsyncClient
    from softgate.client.synchronous import Client
except ModuleNotFoundError as exc:
    if exc.name != "httpx2":
        raise
    raise ModuleNotFoundError("softgate.client needs an extra: pip install 'softgate[client]'.", name="httpx2") from exc
from softgate.client.answers import Candidate, Decision, Model, Prediction
from softgate.client.retries import Retries

__all__ = ["AsyncClient", "Candidate", "Client", "Decision", "Model", "Prediction", "Retries"]
