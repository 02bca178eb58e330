"""A right is judged when a body is acted on, not when its head came (requirement 129)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from itemwire.assembly import Assembly
from itemwire.authorization import late_bodies
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.dependencies import CurrentPrincipal, administrator, authorize_item
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocation
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from tests.conftest import SECRET
from tests.routes.test_bodies import BODIES
from tests.scenarios.clients import EVERYTHING, PATIENCE, token
from tests.scenarios.conftest import Serve
from tests.scenarios.late_bodies import late_body
from tests.timing import AdvancedClock

ITEM: Final = "42"
SENT: Final = {**BODIES, "/messages": b'{"messages": [{"item": "42", "data": 1}]}'}


def headers() -> dict[str, str]:
    """Mint the token of an operator, good for as long as this module moves its clock."""
    minted = token("operator", f"admin {EVERYTHING}", lifetime=86_400)
    return {"Authorization": f"Bearer {minted}"}


each_route = pytest.mark.parametrize("route", SENT)


@dataclass
class Running:
    """A server with every route, and an application whose rules a test may change."""

    app: FastAPI
    server: LiveServer
    clock: AdvancedClock
    refuses: bool = False
    asked: list[str] = field(default_factory=list)

    def done(self) -> list[Any]:
        """Return what requests with a body have changed on this server."""
        assembly = Assembly.of(self.app)
        url = f"{self.server.url}/items/{ITEM}/messages"
        history = httpx.get(url, headers=headers(), timeout=PATIENCE).json()["messages"]
        tickets = assembly.authenticator.tickets
        assert tickets is not None
        changed = assembly.node.revocations.count, assembly.node.is_draining, tickets.counts.made
        return [len(history), *changed]

    def revoke(self, subject: str) -> None:
        """Revoke a caller's tokens, as an administrator."""
        url = f"{self.server.url}/admin/revocations"
        answer = httpx.post(url, headers=headers(), json={"subject": subject}, timeout=PATIENCE)
        assert answer.status_code == 200


@pytest.fixture
def running(serve: Serve) -> Iterator[Running]:
    """Run a server of its own for each test: a drain is for good."""
    settings, clock = Settings(secret=SECRET, admin=True, _env_file=None), AdvancedClock()
    app = create_app(settings, clock=clock)
    with serve(settings, app) as server:
        yield Running(app, server, clock)


def root(lifetime: int = 300) -> str:
    """Mint the token of the caller whose body comes late."""
    return token("root", f"admin {EVERYTHING}", lifetime=lifetime)


def late(running: Running, route: str, credential: str) -> Any:  # noqa: ANN401 - a context
    """Send the head of a request to a route."""
    path = route.replace("{item_id}", ITEM).replace("{item}", ITEM)
    return late_body(running.server.url, path, credential, SENT[route])


@each_route
def test_a_body_that_comes_after_a_revocation_does_nothing(running: Running, route: str) -> None:
    """However good the token was when the head came."""
    with late(running, route, root()) as request:
        running.revoke("root")
        before = running.done()
        status, answer = request.finish()

    assert (status, answer["code"]) == (401, "token_revoked")
    assert running.done() == before


@each_route
def test_a_body_that_comes_after_the_expiry_does_nothing(running: Running, route: str) -> None:
    """Its token has a minute, and the body comes after two."""
    before = running.done()
    with late(running, route, root(60)) as request:
        running.clock.advance(120)
        status, answer = request.finish()

    assert (status, answer["code"]) == (401, "credentials_invalid")
    assert running.done() == before


@each_route
@pytest.mark.parametrize("slow", [0.0, 60.0], ids=["slow", "quick"])
def test_a_late_body_of_a_good_token_is_acted_on(
    running: Running, route: str, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accepted twin: somebody else is revoked meanwhile, and the token has time left."""
    monkeypatch.setattr(late_bodies, "SLOW_BODY", slow)
    before = running.done()
    with late(running, route, root()) as request:
        running.revoke("bob")
        running.clock.advance(120)
        status, answer = request.finish()

    assert 200 <= status < 300
    assert "code" not in json.dumps(answer)
    assert running.done() != before


def with_rules(running: Running) -> None:
    """Override who a caller is and what it may do, so that a test can change both."""

    def judge(what: str) -> None:
        running.asked.append(what)
        if running.refuses:
            raise HTTPException(403)

    async def own_grant(item_id: str, principal: CurrentPrincipal) -> Grant:
        judge("grant")
        return Grant(principal, item_id, frozenset(Action))

    async def own_administrator() -> Principal:
        judge("administrator")
        return Principal(None, "root", ScopeSet(), expires_at=4_000_000_000)

    running.app.dependency_overrides |= {
        authorize_item: own_grant,
        administrator: own_administrator,
    }


JUDGED: Final = [route for route in SENT if route not in {"/auth/tickets", "/messages"}]


@pytest.mark.parametrize("route", JUDGED)
@pytest.mark.parametrize(("slow", "status"), [(0.0, 403), (60.0, 201)], ids=["slow", "quick"])
def test_the_dependencies_are_asked_again_after_a_slow_body(
    running: Running, route: str, slow: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not after a quick one, where nothing can have changed but a revocation."""
    monkeypatch.setattr(late_bodies, "SLOW_BODY", slow)
    with_rules(running)
    with late(running, route, root()) as request:
        asked = len(running.asked)
        running.refuses = True
        told, _ = request.finish()

    assert (told if told == 403 else 201) == status
    assert len(running.asked) - asked == (1 if slow == 0 else 0)


@pytest.mark.parametrize("slow", [0.0, 60.0], ids=["slow", "quick"])
def test_each_item_of_a_batch_is_judged_after_its_body(
    running: Running, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dependencies are asked once the items are known, which the body names."""
    monkeypatch.setattr(late_bodies, "SLOW_BODY", slow)
    with_rules(running)
    with late(running, "/messages", root()) as request:
        running.refuses = True
        status, answer = request.finish()

    assert status == 200
    assert [one["code"] for one in answer["results"]] == ["forbidden"]


def test_a_batch_whose_token_is_revoked_while_its_rights_are_worked_out_stores_nothing(
    running: Running,
) -> None:
    """The application's dependencies may take seconds."""

    async def revoking(item_id: str, principal: CurrentPrincipal) -> Grant:
        Assembly.of(running.app).node.revoke(revocation, lambda _: None)
        return Grant(principal, item_id, frozenset(Action))

    node = Assembly.of(running.app).node
    revocation = Revocation(node.revocations.end_of_life(), subject="root")
    running.app.dependency_overrides[authorize_item] = revoking
    with late(running, "/messages", root()) as request:
        status, answer = request.finish()
    del running.app.dependency_overrides[authorize_item]

    assert (status, answer["code"]) == (401, "token_revoked")
    assert running.done()[0] == 0


def test_a_ticket_is_spent_once_although_the_dependencies_are_asked_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They find the caller that the ticket named."""
    monkeypatch.setattr(late_bodies, "SLOW_BODY", 0.0)
    url = f"{running.server.url}/auth/tickets"
    ticket = httpx.post(url, headers=headers(), timeout=PATIENCE).json()["ticket"]
    url = f"{running.server.url}/items/{ITEM}/messages?ticket={ticket}"
    first, again = (httpx.post(url, json=1, timeout=PATIENCE) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 401)
