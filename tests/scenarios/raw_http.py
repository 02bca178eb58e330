"""Sends the bytes of requests as they are, and reads all answers as strictly as can be."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from itemwire.testing import LiveServer
from tests.scenarios.clients import PATIENCE

BODILESS = frozenset({204, 304})


class Answer(NamedTuple):
    """One response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def answers_to(server: LiveServer, sent: bytes, *, methods: str = "") -> list[Answer]:
    """Send bytes and read until the server closes; `methods` names those of HEAD by an `H`.

    Fails if anything lies between two answers: a peer would take it for the next one.
    """
    where = urlsplit(server.url)
    assert where.hostname
    with socket.create_connection((where.hostname, where.port or 80), PATIENCE) as client:
        client.sendall(sent)
        received = bytearray()
        while data := client.recv(1 << 16):
            received += data
    return _parsed(bytes(received), methods)


def _parsed(received: bytes, methods: str) -> list[Answer]:
    answers: list[Answer] = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 ([0-9]{3}) .*", first)
        assert match, f"no status line: {first!r}"
        fields = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in fields}
        status = int(match[1])
        is_head = methods[len(answers) : len(answers) + 1] == "H"
        size = int(headers.get("content-length", 0))
        if is_head or status in BODILESS or status < 200:
            size = 0
        answers.append(Answer(status, headers, received[:size]))
        received = received[size:]
    return answers
