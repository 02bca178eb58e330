"""Requests with a credential in the query: their answers stay between the two."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.privacy import Privacy


def answer(query: str) -> httpx.Headers:
    """Ask a page that caches may keep, with a query."""

    async def page(_request: object) -> PlainTextResponse:
        return PlainTextResponse("page", headers={"Cache-Control": "max-age=60"})

    app = Privacy(Starlette(routes=[Route("/", page)]))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(f"/?{query}")

    return asyncio.run(ask()).headers


@pytest.mark.parametrize(
    "query", ["token=a", "a=b&ticket=c", "tok%65n=a", "token", "token=a&token=b"]
)
def test_an_answer_to_a_credential_in_the_query_is_kept_nowhere(query: str) -> None:
    """RFC 6750 section 2.3: nor is the URL told to the next site (requirement 26)."""
    headers = answer(query)

    assert headers.get_list("cache-control") == ["no-store"]
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("query", ["", "replay=1", "tokens=a", "a=token=b"])
def test_any_other_answer_is_left_as_it_is(query: str) -> None:
    """The twin: what holds no secret may be cached."""
    headers = answer(query)

    assert headers["cache-control"] == "max-age=60"
    assert "referrer-policy" not in headers
