"""A caller of the admin API, and connections that it can end."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI

from itemwire.channels.node import Node
from itemwire_auth.principal import Principal
from tests.fakes import JSON, RecordingTransport
from tests.scenarios.clients import token

Headers = dict[str, str]


def bearer(scope: str = "admin", subject: str = "root") -> Headers:
    """Give the header of a token with this scope."""
    return {"Authorization": f"Bearer {token(subject, scope)}"}


def call(
    app: FastAPI,
    method: str,
    path: str,
    headers: Headers | None = None,
    *,
    body: object = None,
    content: bytes | None = None,
) -> httpx.Response:
    """Make one request; as an administrator unless other headers are given."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        lifespan = app.router.lifespan_context(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        async with lifespan, client:
            return await client.request(
                method,
                path,
                headers=bearer() if headers is None else headers,
                json=body,
                content=content,
            )

    return asyncio.run(request())


def connect(node: Node, caller: Principal) -> RecordingTransport:
    """Take in a socket."""
    transport = RecordingTransport()
    node.connect(caller, JSON, transport)
    return transport
