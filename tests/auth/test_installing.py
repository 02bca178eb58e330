"""`install_auth` in an application without channels: keys, refusals and logs of a real server."""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketException

from itemwire.serving.server import FASTPATH, Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import STOCK, live_application
from itemwire_auth import (
    AuthSettings,
    CurrentPrincipal,
    Forbidden,
    Grant,
    authorize_item,
    install_auth,
)
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.redaction import REDACTED
from itemwire_auth.testing import TokenFactory, signing_key
from tests.auth.conftest import verifier_of
from tests.auth.key_server import key_server
from tests.policy_server import allow, policy_server

pytestmark = pytest.mark.server

CLASSES: Final[dict[str, Protocols]] = {"fastpath": FASTPATH, "stock": STOCK}


@dataclass
class Alone:
    """An application with authentication and no channels, and what it has noted."""

    tokens: TokenFactory
    notes: list[str] = field(default_factory=list[str])
    server: LiveServer = field(init=False)

    def token(self, subject: str) -> str:
        """Return a token of a caller."""
        return self.tokens.good(sub=subject)


def make_app(alone: Alone) -> FastAPI:
    """Make an application with a lifespan and sockets of its own."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[dict[str, str]]:
        alone.notes.append("started")
        yield {"of": "the application"}
        alone.notes.append("stopped")

    app = FastAPI(lifespan=lifespan)

    @app.get("/me")
    async def me(principal: CurrentPrincipal) -> str:
        return principal.subject

    @app.get("/forbidden")
    async def forbidden() -> None:
        raise Forbidden("of a test")

    @app.websocket("/ws")
    async def echo(websocket: WebSocket, principal: CurrentPrincipal) -> None:
        if principal.subject == "eve":
            raise Forbidden("of a test")
        await websocket.accept()
        await websocket.send_text(f"{principal.subject} {websocket.state.of}")
        await websocket.close()

    @app.websocket("/own")
    async def own(_websocket: WebSocket) -> None:
        raise WebSocketException(1008, "my own")

    return app


@pytest.fixture(params=list(CLASSES), scope="module")
def alone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Alone]:
    """Run one whose keys an issuer publishes."""
    key = signing_key("ES256", kid="k1")
    made = Alone(TokenFactory(key))
    with key_server() as issuer:
        issuer.publish(key)
        settings = AuthSettings(
            jwks_url=issuer.url(),
            jwks_allow_http=True,
            issuer=made.tokens.issuer,
            audience=(made.tokens.audience,),
            token_types=(made.tokens.token_type,),
        )
        app = make_app(made)
        install_auth(app, settings)
        protocols = CLASSES[request.param]
        with live_application(app, protocols=protocols, access_log=True) as made.server:
            yield made
    assert made.notes == ["started", "stopped"]


def test_takes_tokens_by_keys_that_were_fetched(alone: Alone) -> None:
    """They are fetched while the application starts, around its own lifespan."""
    headers = {"Authorization": f"Bearer {alone.token('ann')}"}
    answer = httpx.get(f"{alone.server.url}/me", headers=headers)
    with alone.server.client("/ws", headers=headers, subprotocols=()) as client:
        greeting = client.receive()

    assert (answer.status_code, answer.json()) == (200, "ann")
    assert greeting == "ann the application"


def test_tells_a_browser_why_it_refuses(alone: Alone) -> None:
    """By its dependencies, and by what those of the application raise."""
    eve = {"Authorization": f"Bearer {alone.token('eve')}"}
    by_credential = alone.server.refusal("/ws", subprotocols=("chat", "itemwire.token.x"))
    by_application = alone.server.refusal("/ws", headers=eve)

    assert (by_credential.code, by_credential.reason) == (1008, "credentials_invalid")
    assert not by_credential.unanswered
    assert (by_application.code, by_application.reason) == (1008, "forbidden")


def test_leaves_other_refusals_to_the_application(alone: Alone) -> None:
    """Its own sockets are denied as they were, and its errors over HTTP have FastAPI's form."""
    status = alone.server.refusal("/own").status
    answer = httpx.get(f"{alone.server.url}/forbidden")

    assert status == 403
    assert (answer.status_code, answer.json()) == (403, {"detail": "forbidden"})


def test_keeps_credentials_out_of_the_log(alone: Alone, caplog: pytest.LogCaptureFixture) -> None:
    """Of sockets and of requests, accepted or refused."""
    caplog.set_level(logging.INFO)
    token = alone.token("ann")
    httpx.get(f"{alone.server.url}/me?token={token}")
    alone.server.refusal("/ws?token=secret")
    with alone.server.client(f"/ws?token={token}", subprotocols=()) as client:
        client.receive()

    # httpx, which is the client here, logs what it asks.
    of_server = [one.getMessage() for one in caplog.records if not one.name.startswith("http")]
    log = "\n".join(of_server)
    assert f"/me?{REDACTED}" in log
    assert token not in log
    assert "token=secret" not in log


def test_a_policy_is_asked_from_the_start_of_the_application_on() -> None:
    """Its client is opened beside the lifespan: closed, it would let nobody in."""
    made = Alone(TokenFactory(signing_key("HS256", "k1")))
    app = make_app(made)

    @app.get("/items/{item_id}")
    async def item(grant: Annotated[Grant, Depends(authorize_item)]) -> list[str]:
        return sorted(grant.can)

    with policy_server() as application:
        application.answer = lambda _: allow("history")
        auth = Authenticator(verifier_of(made.tokens), OriginPolicy([], []))
        install_auth(app, auth, PolicyURL(application.url))
        with live_application(app) as server:
            headers = {"Authorization": f"Bearer {made.token('ann')}"}
            answer = httpx.get(f"{server.url}/items/42", headers=headers)

    assert (answer.status_code, answer.json()) == (200, ["history"])
