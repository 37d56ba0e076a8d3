"""The port for gRPC, held by the process that starts the workers; imports nothing of gRPC, for it forks."""

import importlib.util
import socket

from softgate.errors import StartupFailed


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


def address(holder: socket.socket) -> str:
    """As gRPC writes it."""
    host, port = holder.getsockname()[:2]
    return f"[{host}]:{port}" if holder.family == socket.AF_INET6 else f"{host}:{port}"


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
