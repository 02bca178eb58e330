"""Every route with a body reads it within a size and a time, and bears a client that leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from typing import Final

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Message, Scope

from itemwire.main import create_app
from itemwire.responses import request_bodies
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, token

# What each of them takes; `admin` administers. A route that is missing here fails the first test.
BODIES: Final = {
    "/admin/channels/{item}/messages": b'{"a": 1}',
    "/admin/drain": b'{"seconds": 0}',
    "/admin/explain": b'{"token": "x"}',
    "/admin/revocations": b'{"token_id": "t1"}',
    "/auth/tickets": b'{"item": "42"}',
    "/items/{item_id}/messages": b'{"a": 1}',
    "/messages": b'{"messages": []}',
}
LARGEST: Final = 16 * 65_536  # of a batch; every other limit is lower

each_route = pytest.mark.parametrize("path", BODIES)


@pytest.fixture
def app() -> FastAPI:
    """Give an application with every route there is."""
    settings = Settings(secret=SECRET, admin=True, metrics_token="m" * 32, _env_file=None)
    return create_app(settings)


def request_to(path: str, media_type: str = "application/json") -> Scope:
    """Describe a request with a body, from somebody who may do everything."""
    bearer = f"Bearer {token('root', f'admin {EVERYTHING}')}"
    return {
        "type": "http",
        "method": "POST",
        "path": re.sub("{item[_id]*}", "42", path),
        "query_string": b"",
        "headers": [(b"authorization", bearer.encode()), (b"content-type", media_type.encode())],
    }


def piece(body: bytes, *, is_last: bool = False) -> Message:
    """Make a piece of a body."""
    return {"type": "http.request", "body": body, "more_body": not is_last}


def answer_to(app: FastAPI, scope: Scope, *incoming: Message) -> tuple[int, str]:
    """Send these messages and nothing after them; tell the status and the code of the answer."""
    coming: Iterator[Message] = iter(incoming)
    sent: list[Message] = []

    async def receive() -> Message:
        for message in coming:
            return message
        await asyncio.Event().wait()  # the rest never comes
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def scene() -> None:
        async with asyncio.timeout(10), app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(scene())
    start, *pieces = sent
    body = json.loads(b"".join(message.get("body", b"") for message in pieces))
    return start["status"], body.get("code", "")


def test_knows_every_route_that_takes_a_body(app: FastAPI) -> None:
    """As OpenAPI describes them, which an application's own clients are written from."""
    described = {
        path: operation["requestBody"]["content"]
        for path, operations in app.openapi()["paths"].items()
        for operation in operations.values()
        if "requestBody" in operation
    }

    assert sorted(described) == sorted(BODIES)
    assert all("application/json" in content for content in described.values())


def test_fastapi_reads_no_body_itself(app: FastAPI) -> None:
    """It would read it before it asks who is calling, whatever its size, and wait for ever."""
    routes = [one for one in iter_route_contexts(app.routes) if hasattr(one, "body_field")]

    assert len(routes) > len(BODIES)
    assert [one.path for one in routes if one.body_field is not None] == []


@each_route
def test_takes_a_whole_body(app: FastAPI, path: str) -> None:
    """The accepted twin of every refusal below, in two pieces."""
    body = BODIES[path]
    status, _ = answer_to(app, request_to(path), piece(body[:3]), piece(body[3:], is_last=True))

    assert 200 <= status < 300


@each_route
def test_waits_for_no_body_for_ever(
    app: FastAPI, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte now and then would hold a request, and all that it holds, for ever."""
    monkeypatch.setattr(request_bodies, "BODY_SECONDS", 0.01)
    answer = answer_to(app, request_to(path), piece(BODIES[path]))

    assert answer == (408, "message_timeout")


@each_route
def test_reads_no_more_than_the_limit(app: FastAPI, path: str) -> None:
    """Though the rest never comes: it is refused before that."""
    answer = answer_to(app, request_to(path), piece(b" " * (LARGEST + 1)))

    assert answer == (413, "message_too_big")


@each_route
def test_a_client_that_leaves_amid_its_body_leaves_no_traceback(
    app: FastAPI, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no fault of the server, and nothing was done."""
    caplog.set_level(logging.WARNING)
    answer = answer_to(app, request_to(path), piece(BODIES[path][:3]), {"type": "http.disconnect"})

    assert answer == (422, "payload_invalid")
    assert caplog.records == []


@each_route
def test_reads_nothing_of_a_stranger(app: FastAPI, path: str) -> None:
    """Not one byte: who is calling is asked first."""
    scope = request_to(path)
    scope["headers"] = [one for one in scope["headers"] if one[0] != b"authorization"]
    status, code = answer_to(app, scope)

    assert (status, code) == (401, "credentials_missing")


@pytest.mark.parametrize(
    ("path", "media_type", "status"),
    [
        pytest.param("/auth/tickets", "text/plain", 422, id="tickets"),
        pytest.param("/auth/tickets", "application/json", 200, id="tickets-json"),
        pytest.param("/auth/tickets", "application/vnd.mine+json", 200, id="tickets-own-json"),
        pytest.param("/messages", "text/plain", 415, id="batch"),
        pytest.param("/items/{item_id}/messages", "text/plain", 201, id="message"),
        pytest.param("/items/{item_id}/messages", "image/png", 415, id="message-png"),
        pytest.param("/admin/explain", "text/plain", 200, id="admin"),
    ],
)
def test_looks_at_media_types_where_they_matter(
    app: FastAPI, path: str, media_type: str, status: int
) -> None:
    """A page of another site may send text with its visitor's cookies, and no JSON."""
    answer = answer_to(app, request_to(path, media_type), piece(BODIES[path], is_last=True))

    assert answer[0] == status


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
def test_a_ticket_needs_no_body(app: FastAPI, body: bytes) -> None:
    """Then it is bound to nothing, whatever media type an empty body is said to have."""
    answer = answer_to(app, request_to("/auth/tickets"), piece(body, is_last=True))
    untyped = answer_to(app, request_to("/auth/tickets", ""), piece(b"", is_last=True))

    assert (answer[0], untyped[0]) == (200, 200)
