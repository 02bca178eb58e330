"""What an application answers while its lifespan does not run."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from itemwire.channels.node import Node
from itemwire.engines.memory import MemoryEngine
from itemwire.middleware.require_start import RequireStart
from tests.fakes import BOUNDS, LIMITS

CLOSE = {"type": "websocket.close", "code": 1013, "reason": "overloaded"}


async def served(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Serve whatever comes."""
    await send({"type": "served"})


async def nothing() -> Message:
    """Receive nothing that matters."""
    return {"type": "websocket.connect"}


def knock(gate: RequireStart, kind: str, path: str, root_path: str = "") -> list[Message]:
    """Come once, and give what was sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def come() -> None:
        await gate({"type": kind, "path": path, "root_path": root_path}, nothing, send)

    asyncio.run(come())
    return sent


@pytest.fixture
def gate() -> RequireStart:
    """One of a node that nobody has started."""
    return RequireStart(served, Node(MemoryEngine(BOUNDS), LIMITS))


@pytest.mark.parametrize(
    "path",
    [
        "/items/42/messages",
        "/items/42/members",
        "/items/a/b\n/events",
        "/messages",
        "/auth/tickets",
        "/auth/session",
        "/admin/drain",
    ],
)
@pytest.mark.parametrize("root_path", ["", "/live"])
def test_refuses_requests_that_need_the_node(gate: RequireStart, path: str, root_path: str) -> None:
    """Wherever the application is mounted; a client may try again."""
    start, body = knock(gate, "http", root_path + path, root_path)

    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"])["code"] == "overloaded"


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/", "/metrics", "/openapi.json", "/items/42/label"]
)
def test_passes_on_requests_that_do_not(gate: RequireStart, path: str) -> None:
    """An orchestrator has to learn that it is not ready; other routes are the application's."""
    assert knock(gate, "http", path) == [{"type": "served"}]


def test_passes_on_the_lifespan(gate: RequireStart) -> None:
    """It is what starts the node."""
    assert knock(gate, "lifespan", "") == [{"type": "served"}]


def test_refuses_every_socket_and_says_why_once(
    gate: RequireStart, caplog: pytest.LogCaptureFixture
) -> None:
    """A crowd that comes again and again must not fill the log."""
    with caplog.at_level(logging.WARNING):
        told = [knock(gate, "websocket", path) for path in ("/items/42/ws", "/ws", "/mine")]

    assert told == [[CLOSE]] * 3
    (line,) = caplog.messages
    assert line.startswith("not_started problem=")
    assert "lifespan_context" in line


def test_lets_everybody_in_between_start_and_stop() -> None:
    """The accepted twin; a node that has stopped is as one that was never started."""
    node = Node(MemoryEngine(BOUNDS), LIMITS)
    gate = RequireStart(served, node)
    before = knock(gate, "websocket", "/ws")
    asyncio.run(node.start())
    during = knock(gate, "websocket", "/ws"), knock(gate, "http", "/messages")
    asyncio.run(node.stop())

    assert before == [CLOSE]
    assert during == ([{"type": "served"}], [{"type": "served"}])
    assert knock(gate, "websocket", "/ws") == [CLOSE]
