"""Opens what a server listens on: a port, a Unix socket, or a given descriptor."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Final

from itemwire.settings import Settings

BACKLOG: Final = 4096  # when all clients reconnect at once, they wait here and need no retry

# Of each connection, in the kernel, which counts its own overhead on top. It bounds how fast one
# client can send over a long line, about 400 KB/s at a round trip of 100 ms, far past its rates.
UNREAD_BYTES: Final = 32 * 1024

# What is wrong with an address, a path or a descriptor itself, and with the right to it.
_NEVER: Final = frozenset(
    {
        errno.EACCES,
        errno.EBADF,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.ENOTSOCK,
        errno.EPERM,
        errno.EPROTOTYPE,
    }
)
MOST_PATH: Final = 107  # bytes of a socket's path: as many as Linux has room for

NOBODY: Final = 0o177  # the mask for a socket file until it has its mode


def bind(settings: Settings) -> socket.socket:
    """Return a listener as configured; raises `OSError` if that is not possible.

    The kernel drops a peer that acknowledges no data for as long as a ping may go unanswered (RFC
    5482): a close frame would wait behind the unread bytes for ever. It keeps `UNREAD_BYTES` of
    what a client sends and the server does not read. Left to itself it keeps up to 6 MiB of each,
    in memory that all connections of the machine share (`tcp_mem`); and the server reads all there
    is at once, and holds it while the connection waits for its turn.
    """
    listener = _given(settings.fd) if settings.fd is not None else _opened(settings)
    try:
        _bound_peers(listener, settings)
        if settings.fd is None and settings.uds is None:
            listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # from now on, clients wait for the application to start
    except OSError:
        listener.close()
        raise
    return listener


def _opened(settings: Settings) -> socket.socket:
    if settings.uds is not None:
        return _at_path(settings.uds, settings.uds_mode)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


def _bound_peers(listener: socket.socket, settings: Settings) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
    if listener.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = int((settings.ping_interval + settings.ping_timeout) * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def _given(fd: int) -> socket.socket:
    """Return the socket that a supervisor has opened, such as that of a systemd unit."""
    listener = socket.socket(fileno=fd)
    families = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}
    if listener.type != socket.SOCK_STREAM or listener.family not in families:
        listener.detach()
        raise OSError(errno.EPROTOTYPE, "it is no stream socket of TCP or of a path")
    return listener


def _at_path(path: Path, mode: int) -> socket.socket:
    """Return a socket bound to a path, in place of one that a killed server has left behind."""
    if len(os.fsencode(path)) > MOST_PATH:
        raise OSError(errno.ENAMETOOLONG, f"the path is longer than {MOST_PATH} bytes")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        mask = os.umask(NOBODY)  # nobody else may connect until the file has its mode
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        path.chmod(mode)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket file on which nobody listens; raise OSError for all else that is there."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "a file is there that is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            try:
                client.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except BlockingIOError:
                pass  # its queue is full: somebody listens, and is busy
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@contextlib.contextmanager
def file_removed(settings: Settings) -> Generator[None]:
    """Remove the server's socket file at the end, unless another server has replaced it."""
    path = settings.uds if settings.fd is None else None
    made = path.lstat().st_ino if path is not None else None
    try:
        yield
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                if path.lstat().st_ino == made:
                    path.unlink()


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the URL that reaches a listener from this machine; `unix:` before a path."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    name: tuple[str, int] = listener.getsockname()[:2]
    bound, port = name
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, bound)  # noqa: S104 - not bound here
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def never_comes_right(error: OSError) -> bool:
    """Return whether it is the settings that cannot be listened to, whenever that is tried.

    A port that is taken may be free later, and an address or a folder may come.
    """
    if isinstance(error, socket.gaierror):
        return error.errno != socket.EAI_AGAIN  # else the name server may answer later
    return error.errno in _NEVER


def place_of(settings: Settings) -> str:
    """Return where a server is to listen, for an error that it cannot."""
    if settings.fd is not None:
        return f"descriptor {settings.fd}"
    return f"{settings.host}:{settings.port}" if settings.uds is None else str(settings.uds)
