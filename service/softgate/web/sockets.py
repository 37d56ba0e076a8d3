"""
The sockets that a server listens on, bound before its workers are started.

Workers share the one for HTTP. gRPC's library takes none over, so each worker binds its own to one port, which is only
held here; nothing of that library is imported, for this process forks.
"""

import importlib.util
import socket
from contextlib import ExitStack

from softgate.errors import StartupFailed

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """
    A listening socket. Raises StartupFailed.

    With the protocol named: a socket made without it reports 0, and asyncio then leaves TCP_NODELAY off, which costs
    44 ms on every keep-alive request.
    """
    with ExitStack() as stack:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except (OSError, UnicodeError) as exc:
            raise StartupFailed(f"Cannot listen on {host}:{port}: {getattr(exc, 'strerror', None) or exc}.") from exc
        stack.pop_all()
    listener.setblocking(False)
    return listener


def adopt(descriptor: int) -> socket.socket:
    """
    The listening socket that whoever started us hands over under this descriptor. Raises StartupFailed.

    With its protocol named, for the reason that `bind` gives.
    """
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as exc:
        raise StartupFailed(f"File descriptor {descriptor}: cannot listen on it: {exc.strerror}.") from exc
    is_tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not is_tcp or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.detach()
        raise StartupFailed(f"File descriptor {descriptor}: expected a TCP socket that listens; got {found!r}.")
    listener = socket.socket(found.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=found.detach())
    # Programs that we start have no business with it.
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def url(listener: socket.socket) -> str:
    """Where a client finds the server."""
    return f"http://{address(listener)}"


def address(holder: socket.socket) -> str:
    """Of a socket, as a URL has it."""
    host, port = holder.getsockname()[:2]
    return f"[{host}]:{port}" if holder.family == socket.AF_INET6 else f"{host}:{port}"


def held(host: str, port: int, *, shared: bool) -> socket.socket:
    """
    A socket that does not listen, but keeps the port for the workers, who bind one each. Raises StartupFailed.

    `shared`: whether another server may have it already, which this one takes over from.
    """
    if importlib.util.find_spec("grpc") is None:
        raise StartupFailed("SOFTGATE_GRPC_PORT needs an extra: pip install 'softgate[grpc]'.")
    try:
        if not shared:
            # Without SO_REUSEPORT, which would let two servers share it that know nothing of each other.
            _bound(host, port, shared=False).close()
        return _bound(host, port, shared=True)
    except OSError as exc:
        raise StartupFailed(f"Cannot listen on {host}:{port} for gRPC: {exc.strerror}.") from exc


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    return found
