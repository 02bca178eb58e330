"""Our application inside another one on a real server: with its lifespan, and without."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal, live_application
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, JSON, PATIENCE, item_path, token
from tests.scenarios.conftest import Mode, Serve

NEEDS_NODE = [
    ("GET", "/items/42/events"),
    ("POST", "/items/42/messages"),
    ("GET", "/items/42/messages"),
    ("GET", "/items/42/members"),
    ("POST", "/messages"),
    ("POST", "/auth/tickets"),
    ("POST", "/auth/session"),
    ("POST", "/admin/revocations"),
    ("GET", "/admin/connections"),
]
BODIES = {"/messages": '{"messages": []}', "/admin/revocations": '{"token_id": "t"}'}
GOOD = token(lifetime=86_400)  # made when the tests are collected, minutes before they run
SOCKETS = [item_path("42", {"token": GOOD}), f"/ws?token={GOOD}", f"/ws/echo?token={GOOD}"]


def settings_of(mode: Mode) -> Settings:
    """Give settings of a refusal mode, with every route there is."""
    return Settings(secret=SECRET, refusal=mode, admin=True, metrics_token="m" * 32, _env_file=None)


def host_of(live: FastAPI, *, runs_lifespan: bool) -> Starlette:
    """Mount it; by itself Starlette does not run the lifespan of what it mounts."""

    @contextlib.asynccontextmanager
    async def lifespan(_host: Starlette) -> AsyncIterator[None]:
        async with live.router.lifespan_context(live):
            yield

    return Starlette(routes=[Mount("/live", live)], lifespan=lifespan if runs_lifespan else None)


@pytest.fixture(scope="module", params=["close", "http"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Refuse in either form."""
    found: Mode = request.param
    return found


@pytest.fixture(scope="module")
def unstarted(serve: Serve, mode: Mode) -> Iterator[LiveServer]:
    """Run a host that mounts it and does nothing else."""
    host = host_of(create_app(settings_of(mode)), runs_lifespan=False)
    with live_application(host, protocols=serve.protocols) as running:
        yield running


@pytest.fixture(scope="module")
def started(serve: Serve, mode: Mode) -> Iterator[LiveServer]:
    """Run a host that enters its lifespan."""
    host = host_of(create_app(settings_of(mode)), runs_lifespan=True)
    with live_application(host, protocols=serve.protocols) as running:
        yield running


def overloaded(mode: Mode) -> Refusal:
    """Tell what a client must see."""
    if mode == "close":
        return Refusal(101, 1013, "overloaded")
    body = {"code": 1013, "reason": "overloaded", "retry": "later"}
    return Refusal(503, body=json.dumps(body, separators=(",", ":")).encode())


@pytest.mark.parametrize("path", SOCKETS, ids=["item", "many", "echo"])
def test_a_socket_is_refused_where_nothing_would_end_it(
    unstarted: LiveServer, mode: Mode, path: str
) -> None:
    """No tick runs, so its token would never expire; no engine, so no revocation would arrive."""
    assert unstarted.refusal("/live" + path) == overloaded(mode)


@pytest.mark.parametrize("path", SOCKETS, ids=["item", "many", "echo"])
def test_a_socket_is_let_in_where_the_lifespan_runs(started: LiveServer, path: str) -> None:
    """The accepted twin."""
    with started.connect("/live" + path, subprotocols=(JSON,)) as client:
        client.send('{"type":"ping"}')
        assert client.recv(timeout=PATIENCE)


def answer_of(server: LiveServer, method: str, path: str) -> httpx.Response:
    """Ask as somebody who may do everything."""
    bearer = {"Authorization": f"Bearer {token('root', f'admin {EVERYTHING}')}"}
    body = BODIES.get(path, "{}") if method == "POST" else None
    headers = {**bearer, "Content-Type": "application/json"}
    url = f"{server.url}/live{path}"
    with httpx.stream(method, url, headers=headers, content=body, timeout=PATIENCE) as answer:
        if not path.endswith("/events") or answer.is_error:
            answer.read()
    return answer


@pytest.mark.parametrize(("method", "path"), NEEDS_NODE)
def test_a_request_is_refused_where_it_needs_the_node(
    unstarted: LiveServer, method: str, path: str
) -> None:
    """A message would be stored in an engine that nobody else has started."""
    answer = answer_of(unstarted, method, path)

    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(("method", "path"), NEEDS_NODE)
def test_a_request_is_served_where_the_lifespan_runs(
    started: LiveServer, method: str, path: str
) -> None:
    """The accepted twin."""
    assert answer_of(started, method, path).is_success


def test_health_tells_the_difference(unstarted: LiveServer, started: LiveServer) -> None:
    """The process lives in both; only one of them is to get traffic."""
    answers = [
        httpx.get(f"{server.url}/live/health/{which}", timeout=PATIENCE).status_code
        for server in (unstarted, started)
        for which in ("live", "ready")
    ]

    assert answers == [200, 503, 200, 200]
