"""Tries the fast path on the installed uvicorn, before a server relies on it.

Its classes rest on internals of uvicorn, which any version may change. So they serve a few requests
here, over a pair of sockets that nobody else can reach; tests read every version that CI knows, and
this one sees to versions that are newer than that.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Generator
from functools import cache
from typing import Any, Final

from typing_extensions import override

SECONDS: Final = 5.0  # for all of it; it takes a few milliseconds

TWO_REQUESTS: Final = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
AMBIGUOUS: Final = (
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
)
DECLINED: Final = (  # an upgrade that is not taken, with a body, and the next request
    b"POST /3 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: 1\r\n\r\nxGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"
)
UPGRADE: Final = (
    b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# RFC 6455: a masked text "x", and the same text from the server with the close that follows it.
TEXT: Final = b"\x81\x81\0\0\0\0x"
ECHO_AND_CLOSE: Final = b"\x81\x01x\x88\x02\x03\xe8"

TRIALS: Final = (
    (TWO_REQUESTS, (b"HTTP/1.1 200", b"/1", b"HTTP/1.1 200", b"/2")),
    (AMBIGUOUS, (b"HTTP/1.1 400",)),
    (DECLINED, (b"HTTP/1.1 200", b"/3", b"HTTP/1.1 200", b"/4")),
    (UPGRADE + TEXT, (b"HTTP/1.1 101", ECHO_AND_CLOSE)),
)
"""What is sent over a connection, and what must come back in this order."""


class _Seen(logging.Filter):
    """Keeps the lines of one thread out of the log, and the exceptions in them."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self.exceptions: list[BaseException] = []

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if threading.get_ident() != self._thread:
            return True
        if record.exc_info and record.exc_info[1] is not None:
            self.exceptions.append(record.exc_info[1])
        return False

    def hear(self, _loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        """Keep what a callback has raised: the event loop tells it."""
        if "exception" in told:
            self.exceptions.append(told["exception"])


@cache
def fastpath_problem() -> str | None:
    """Return why the fast path cannot serve with what is installed; None if it can."""
    problems: list[str | None] = []
    # A thread, because an event loop may run in this one.
    thread = threading.Thread(target=lambda: problems.append(_problem()))
    thread.start()
    thread.join()
    return problems[0] if problems else "the trial of it has ended early"


def _problem() -> str | None:
    with _listening() as seen:
        try:
            asyncio.run(_try_all(seen))
        except Exception as error:  # noqa: BLE001 - whatever another version raises
            first = next(iter(seen.exceptions), error)
            return f"{type(first).__name__}: {first}"
    return None


@contextlib.contextmanager
def _listening() -> Generator[_Seen]:
    logger, seen = logging.getLogger("uvicorn.error"), _Seen()
    logger.addFilter(seen)
    try:
        yield seen
    finally:
        logger.removeFilter(seen)


async def _try_all(seen: _Seen) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(seen.hear)
    connection = _connections()
    async with asyncio.timeout(SECONDS):
        for sent, answers in TRIALS:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                transport, _ = await loop.connect_accepted_socket(connection, ours)
                try:
                    await _exchange(theirs, sent, answers)
                finally:
                    transport.abort()
                    await asyncio.sleep(0)  # the turn in which transports let go of their sockets
    if seen.exceptions:
        raise seen.exceptions[0]


def _connections() -> Callable[[], asyncio.BaseProtocol]:
    """Return what makes the protocol of each connection, as uvicorn's server does."""
    # Not at the top: a version without one of the names that they import is a problem, too.
    from uvicorn.config import Config  # noqa: PLC0415
    from uvicorn.server import ServerState  # noqa: PLC0415

    from itemwire.fastpath.http import HttpProtocol  # noqa: PLC0415
    from itemwire.fastpath.protocol import WebSocketProtocol  # noqa: PLC0415

    config = Config(
        _application,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    state = ServerState()
    return lambda: HttpProtocol(config, state, {})


async def _exchange(theirs: socket.socket, sent: bytes, answers: tuple[bytes, ...]) -> None:
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        writer.write(sent)
        for answer in answers:
            await reader.readuntil(answer)
    except asyncio.IncompleteReadError as error:
        first_line = sent.partition(b"\r\n")[0].decode()
        raise RuntimeError(f"{first_line} is answered by {error.partial[:100]!r}") from error
    finally:
        writer.transport.abort()


async def _application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]
) -> None:
    """Answer a request with its path, and a socket's first message with itself."""
    message = await receive()
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})
        return
    await send({"type": "websocket.accept"})
    message = await receive()
    await send({"type": "websocket.send", "text": message["text"]})
    await send({"type": "websocket.close", "code": 1000})
