"""`POST /messages`: each item asked about once, by the rules of the item's own route."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request

from itemwire.assembly import Assembly
from itemwire.channels import timely_answers
from itemwire.main import create_app
from itemwire.messages import Position
from itemwire.settings import Settings
from itemwire_auth import Action, CurrentPrincipal, Grant, authorize_item
from itemwire_auth.errors import Forbidden
from tests.conftest import SECRET
from tests.routes.scripted_node import FAILURE, ScriptedNode
from tests.scenarios.clients import EVERYTHING, token

ALL = frozenset(Action)


@pytest.fixture
def app() -> FastAPI:
    """Give an application of its own."""
    return create_app(Settings(secret=SECRET, max_message_bytes=200, _env_file=None))


def post(app: FastAPI, body: object, scope: str | None = EVERYTHING) -> httpx.Response:
    """Publish a batch, as nobody without a scope."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token('alice', scope)}"} if scope else {}
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        async with app.router.lifespan_context(app), client:
            return await client.post("/messages", json=body, headers=headers)

    return asyncio.run(request())


def told(app: FastAPI, *items: str) -> list[object]:
    """Publish to items, and tell for each the offset or the code."""
    answer = post(app, {"messages": [{"item": one, "data": 1} for one in items]})
    return [one.get("code", one.get("offset")) for one in answer.json()["results"]]


def test_asks_an_applications_own_rule_once_an_item(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """With the request that came, the item's path, and who is calling, who is known."""
    asked: list[tuple[str, str, str | None]] = []
    released: list[str] = []

    async def session(item_id: str) -> AsyncIterator[str]:
        try:
            yield "database"
        finally:
            released.append(item_id)

    async def own(
        request: Request,
        item_id: str,
        principal: CurrentPrincipal,
        _session: Annotated[str, Depends(session)],
    ) -> Grant:
        asked.append((item_id, request.url.path, request.headers.get("authorization")))
        if item_id == "gone":
            raise HTTPException(404)
        if item_id == "broken":
            raise RuntimeError("the database is at secret://")
        if item_id == "mine":
            raise Forbidden("told by an AuthError")
        return Grant(principal, item_id, ALL if item_id != "read" else ALL - {Action.PUBLISH})

    app.dependency_overrides[authorize_item] = own
    results = told(app, "a", "b", "a", "gone", "mine", "broken", "read", "a")

    # What is denied and what does not exist look the same (requirement 64).
    assert results[:6] == [1, 1, 2, "forbidden", "forbidden", "internal"]
    assert results[6:] == ["forbidden", 3]
    assert sorted(one[0] for one in asked) == sorted(["a", "b", "gone", "mine", "broken", "read"])
    assert {path for item, path, _ in asked if item == "a"} == {"/items/a/messages"}
    assert all(header is not None for _, _, header in asked)
    assert sorted(released) == sorted(one[0] for one in asked)
    failed = [one.getMessage() for one in caplog.records if "grant_failed" in one.message]
    assert failed == ["grant_failed path='/items/broken/messages'"]  # the others are no faults


def test_a_rule_that_does_not_answer_is_no_grant(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was worked out by then counts; the rest may be asked again."""
    monkeypatch.setattr("itemwire.authorization.deadline.DECISION_SECONDS", 1.5)

    async def own(item_id: str, principal: CurrentPrincipal) -> Grant:
        if item_id == "slow":
            await asyncio.Event().wait()
        return Grant(principal, item_id, ALL)

    app.dependency_overrides[authorize_item] = own
    with caplog.at_level(logging.WARNING):
        results = told(app, "a", "slow", "b")

    assert results == [1, "overloaded", 1]
    assert "overloaded" in caplog.text


def test_a_stranger_is_refused_as_a_whole(app: FastAPI) -> None:
    """Who may publish nowhere at all is told so for each message."""
    body = {"messages": [{"item": "a", "data": 1}]}
    reader = post(app, body, "items:subscribe").json()["results"]

    assert post(app, body, None).status_code == 401
    assert [one["code"] for one in reader] == ["scope_missing"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"messages": []}, 200, id="none"),
        pytest.param({"messages": [{"item": "a", "data": 1}] * 30}, 200, id="some"),
        pytest.param({"messages": [0] * 1001}, 422, id="too-many"),
        pytest.param({"messages": [{"item": "a", "data": "x" * 3200}]}, 413, id="too-big"),
        pytest.param({}, 422, id="empty"),
        pytest.param([], 422, id="list"),
        pytest.param({"messages": [], "more": 1}, 422, id="unknown"),
    ],
)
def test_bounds_a_batch(app: FastAPI, body: object, status: int) -> None:
    """By number and by bytes, 16 messages' worth."""
    assert post(app, body).status_code == status


def test_takes_nothing_but_json(app: FastAPI) -> None:
    """As a form of a foreign page could not send it."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": "text/plain"}
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        async with app.router.lifespan_context(app), client:
            return await client.post("/messages", content=b'{"messages":[]}', headers=headers)

    assert asyncio.run(request()).status_code == 415


def test_only_what_is_stored_is_answered_so(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may be asked again, best with their keys (requirement 110)."""
    monkeypatch.setattr(timely_answers, "REFUSE_SECONDS", 0.02)
    monkeypatch.setattr(Assembly.of(app).node, "__class__", ScriptedNode)
    outcomes = {"a": Position("e", 1), "b": FAILURE}  # and silence about "c"
    monkeypatch.setattr(ScriptedNode, "outcomes", outcomes)
    body = {"messages": [{"item": one, "data": 1} for one in "abc"]}
    answer = post(app, body)
    late = {"code": "overloaded", "temporary": True}

    assert answer.json()["results"][0] == {"epoch": "e", "offset": 1}
    assert [late.items() <= one.items() for one in answer.json()["results"][1:]] == [True, True]
    assert "secret" not in answer.text
