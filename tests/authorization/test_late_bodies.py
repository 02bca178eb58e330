"""A caller that is judged again after its body must be the one that sent the head."""

import asyncio
import json
from typing import Annotated, Any

import pytest
from fastapi import Depends, Request
from starlette.types import Message

from itemwire.application import ChannelApplication
from itemwire.authorization import late_bodies
from itemwire.authorization.late_bodies import judged_after_body
from itemwire.responses.rejections import install_rejections
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.state import install_state
from itemwire_auth.testing import TokenFactory, signing_key
from tests.auth.conftest import NOW, verifier_of

FACTORY = TokenFactory(signing_key("HS256"), clock=lambda: NOW)
NEVER = 2**40  # seconds


def principal(subject: str) -> Principal:
    """Make a caller whose token lasts."""
    return Principal(None, subject, ScopeSet(), NEVER)


@pytest.mark.parametrize(
    ("after", "slow_from", "status"),
    [
        pytest.param("alice", 0.0, 200, id="the same"),
        pytest.param("mallory", 0.0, 403, id="another"),
        pytest.param("mallory", 60.0, 200, id="not asked again: the body was quick"),
    ],
)
def test_another_caller_than_before_the_body_is_refused(
    after: str, slow_from: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application's dependency may take the caller from somewhere else by then."""
    monkeypatch.setattr(late_bodies, "SLOW_BODY", slow_from)
    callers = iter([principal("alice"), principal(after)])
    app = ChannelApplication()
    install_state(app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
    install_rejections(app)

    async def who() -> Principal:
        return next(callers)

    @app.post("/")
    async def door(request: Request, caller: Annotated[Principal, Depends(who)]) -> str:
        async with judged_after_body(request, caller):
            pass
        return caller.subject

    assert asyncio.run(_post(app)) == status


async def _post(app: ChannelApplication) -> int:
    sent: list[Message] = []
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("192.0.2.7", 50000),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps("x").encode()}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


def test_a_dependency_that_reads_the_body_is_told_that_it_was_read() -> None:
    """The second time: it must not wait for a body that has come already."""
    app = ChannelApplication()
    install_state(app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
    install_rejections(app)

    async def who(request: Request) -> Principal:
        await request.body()
        return principal("alice")

    @app.post("/")
    async def door(request: Request, caller: Annotated[Principal, Depends(who)]) -> str:
        async with judged_after_body(request, caller):
            pass
        return caller.subject

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_bodies, "SLOW_BODY", 60.0)
        assert asyncio.run(_post(app)) == 200
        patch.setattr(late_bodies, "SLOW_BODY", 0.0)
        with pytest.raises(RuntimeError, match="asked again cannot read it"):
            asyncio.run(_post(app))
