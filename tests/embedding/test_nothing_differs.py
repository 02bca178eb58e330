"""On a host's own routes nothing differs with channels in it: answers to the byte, log lines."""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from typing_extensions import override
from websockets.exceptions import ConnectionClosed, InvalidStatus

from itemwire.serving.server import Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.embedding.conftest import Shop, database_in, running_shop
from tests.embedding.shop.main import create_shop

BEARER: Final = "Authorization: Bearer anns-login\r\n"
COOKIE: Final = "Cookie: shop_login=bens-login\r\n"
JSON: Final = "Content-Type: application/json\r\n"

REQUESTS: Final = {
    "own": ("GET", "/users/me", BEARER, ""),
    "by cookie": ("GET", "/users/me", COOKIE, ""),
    "stranger": ("GET", "/users/me", "", ""),
    "expired": ("GET", "/users/me", "Cookie: shop_login=old-login\r\n", ""),
    "token in the query": ("GET", "/users/me?token=secret", BEARER, ""),
    "order": ("GET", "/orders/7", BEARER, ""),
    "own error": ("GET", "/orders/8", BEARER, ""),
    "parameter": ("GET", "/orders/seven", BEARER, ""),
    "no route": ("GET", "/nothing?token=secret", "", ""),
    "no method": ("DELETE", "/orders/7", BEARER, ""),
    "slash": ("GET", "/orders/7/", BEARER, ""),
    "crash": ("GET", "/orders/7/crash?token=secret", "", ""),
    "change": ("POST", "/orders/7", BEARER + JSON, '{"status": "packed"}'),
    "body": ("POST", "/orders/7", BEARER + JSON, '{"status": 1}'),
    "no JSON": ("POST", "/orders/7", BEARER + JSON, "{"),
    "log in": ("POST", "/users/login?token=bens-login", "", ""),
    "head": ("HEAD", "/docs", "", ""),
    "docs": ("GET", "/docs", "", ""),
    "redoc": ("GET", "/redoc", "", ""),
    "openapi": ("GET", "/openapi.json", "", ""),
    "health": ("GET", "/health/ready", "", ""),
    "like ours": ("GET", "/items/order:7/messages?token=secret", "", ""),
    "not ours": ("GET", "/lively?token=secret", "", ""),
}
VARIES: Final = re.compile(rb"(?m)^date: .*\r\n", re.IGNORECASE)
PORT: Final = re.compile(r"127\.0\.0\.1:\d+|\('127\.0\.0\.1', \d+\)")


class Lines(logging.Handler):
    """Keeps what is logged, as a log file would show it, but the ports of clients."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        text = f"{record.name} {record.levelname} {self.format(record)}"
        self.lines.append(PORT.sub("CLIENT", text))


@pytest.fixture
def log() -> Iterator[Lines]:
    """Keep what is logged from INFO on, as most servers do."""
    lines, root = Lines(), logging.getLogger()
    names = ("uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [root, *map(logging.getLogger, names)]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:  # servers of tests before may have muted them
        logger.setLevel(logging.INFO)
        logger.propagate = True
    root.addHandler(lines)
    yield lines
    root.removeHandler(lines)
    for logger, level, propagates in before:
        logger.setLevel(level)
        logger.propagate = propagates


@pytest.fixture(scope="module")
def without(folder: Path, protocols: Protocols) -> Iterator[LiveServer]:
    """Run the shop as it was."""
    app = create_shop(database_in(folder))
    with live_application(app, protocols=protocols, access_log=True) as server:
        yield server


@pytest.fixture(scope="module")
def running(folder: Path, protocols: Protocols) -> Iterator[Shop]:
    """Run the shop with channels, and with a log of all requests."""
    with running_shop(folder, protocols, access_log=True) as shop:
        yield shop


def answer_of(server: LiveServer, request: tuple[str, str, str, str]) -> bytes:
    """Send one request as bytes and return all that comes back."""
    method, path, headers, body = request
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n"
    where = urlsplit(server.url)
    assert where.hostname
    with closing(socket.create_connection((where.hostname, where.port or 0), 30)) as connection:
        connection.sendall(f"{head}{headers}{length}\r\n{body}".encode())
        return VARIES.sub(b"", b"".join(iter(lambda: connection.recv(65_536), b"")))


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_answered_and_logged_the_same(
    without: LiveServer, running: Shop, log: Lines, request_: tuple[str, str, str, str]
) -> None:
    """To the byte, and to the line: `/docs`, errors, 422, 500, and a token in the query."""
    before = answer_of(without, request_), log.lines[:]
    log.lines.clear()
    after = answer_of(running.server, request_), log.lines

    assert before[0].startswith(b"HTTP/1.1 ")
    assert before[1]
    assert after == before


def test_an_error_reaches_the_server(running: Shop, log: Lines) -> None:
    """Where the host's own tools look for it."""
    answer_of(running.server, REQUESTS["crash"])

    assert any(
        line.startswith("uvicorn.error ERROR Exception in ASGI") and "ZeroDivisionError" in line
        for line in log.lines
    )


@pytest.mark.parametrize("question", ["hello", "crash"])
def test_an_own_socket_is_the_same(
    without: LiveServer, running: Shop, log: Lines, question: str
) -> None:
    """Its headers, its frames, its end, and the error that ends it."""
    before = _talk(without, question), log.lines[:]
    log.lines.clear()

    assert (_talk(running.server, question), log.lines) == before


def test_an_own_socket_refuses_the_same(without: LiveServer, running: Shop) -> None:
    """As the server does it, without a close frame."""
    refused: list[tuple[int, bytes]] = []
    for server in (without, running.server):
        with pytest.raises(InvalidStatus) as told:
            server.connect("/chat?token=stranger")
        refused.append((told.value.response.status_code, bytes(told.value.response.body or b"")))

    assert refused[0] == refused[1]


def _talk(server: LiveServer, question: str) -> tuple[object, ...]:
    with server.connect("/chat?token=secret") as socket_:
        assert socket_.response is not None
        varying = {"date", "sec-websocket-accept"}
        headers = [
            one for one in socket_.response.headers.raw_items() if one[0].lower() not in varying
        ]
        socket_.send(question)
        try:
            heard = [socket_.recv(timeout=30)]
        except ConnectionClosed as ended:
            heard = [str(ended)]
    return headers, heard


def test_lines_about_the_channels_are_redacted(running: Shop, log: Lines) -> None:
    """A token in the query of a socket or a request would else stand in the host's log."""
    path = "/items/order:7"
    with running.server.client(f"/live{path}/ws?token=anns-login") as client:
        client.welcome()
    running.server.refusal(f"/live{path}/ws?token=stranger-secret")
    answer_of(running.server, ("GET", f"/live{path}/messages?token=anns-login", "", ""))
    answer_of(running.server, ("GET", "/live/nothing?token=anns-login", "", ""))
    text = "\n".join(log.lines)

    assert "/live/items/order%3A7/messages?[redacted] HTTP/1.1" in text
    assert "/live/nothing?[redacted]" in text
    assert "anns-login" not in text
    assert "stranger-secret" not in text


def test_only_the_channels_drain(folder: Path, protocols: Protocols) -> None:
    """The host may be told to change something while they go out of service; they may not."""
    with running_shop(folder, protocols, access_log=True) as shop:
        before = answer_of(shop.server, REQUESTS["change"])
        shop.live._assembly.node.drain()
        after = answer_of(shop.server, REQUESTS["change"])
        refused = answer_of(
            shop.server, ("POST", "/live/items/order:7/messages", BEARER + JSON, '{"data": 1}')
        )

    assert b" 200 " in before
    assert after == before
    assert b" 503 " in refused
    assert b'"draining"' in refused
