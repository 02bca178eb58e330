"""A request whose head comes first, and whose body comes when a test says so."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

from tests.scenarios.clients import PATIENCE

GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class LateBody:
    """A request that the server has let in, up to its body."""

    def __init__(self, connection: socket.socket, body: bytes) -> None:
        self._connection = connection
        self._body = body

    def finish(self) -> tuple[int, Any]:
        """Send the body in two pieces; return the answer's status and what it holds."""
        half = len(self._body) // 2
        for piece in (self._body[:half], self._body[half:]):
            self._connection.sendall(piece)
        response = HTTPResponse(self._connection)
        response.begin()
        return response.status, json.loads(response.read())


@contextmanager
def late_body(url: str, path: str, credential: str, body: bytes) -> Iterator[LateBody]:
    """Send a head, and wait until the server asks for the body: it has judged the head by then."""
    where = urlsplit(url)
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {where.netloc}",
        f"Authorization: Bearer {credential}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
        "Connection: close",
    ]
    with socket.create_connection((where.hostname, where.port), PATIENCE) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        answered = b""
        while len(answered) < len(GO_ON) and (piece := connection.recv(len(GO_ON))):
            answered += piece
        assert answered == GO_ON
        yield LateBody(connection, body)
