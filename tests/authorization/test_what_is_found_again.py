"""What is kept of a handshake, and what a dependency that is asked again finds of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi import HTTPException, WebSocket
from starlette.types import Scope

from itemwire.authorization.inputs import Inputs
from itemwire.authorization.kept_handshake import KeptHandshake
from itemwire.counters import ChannelCounters
from itemwire_auth.dependencies import CurrentPrincipal, authorize_item
from itemwire_auth.errors import Forbidden
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.authorization.application import FACTORY, Application
from tests.authorization.test_reauthorization import reason_of
from tests.authorization.test_what_is_kept import Reads


class Seen:
    """An override that is given the connection, and notes its scope."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def rule(self, websocket: WebSocket, principal: CurrentPrincipal) -> Grant:
        """Allow everything."""
        self.scopes.append(dict(websocket.scope))
        websocket.state.mark = "of one question"
        return Grant(principal, "42", frozenset(Action))


@pytest.fixture
def seen(application: Application) -> Seen:
    """Give the override of the application."""
    seen = Seen()
    application.app.dependency_overrides[authorize_item] = seen.rule
    return seen


def test_a_handshake_is_told_of_as_a_websocket(application: Application, seen: Seen) -> None:
    """With what it offered; the server's own address is not kept."""
    headers = [(b"sec-websocket-protocol", b"itemwire.v1.json, other"), (b"x-team", b"7")]
    application.verdict(FACTORY.good(), headers=headers, query_string=b"team=8")
    (scope,) = seen.scopes

    assert (scope["type"], scope["scheme"], scope["server"]) == ("websocket", "ws", None)
    assert scope["subprotocols"] == ["itemwire.v1.json", "other"]
    assert (b"x-team", b"7") in scope["headers"]
    assert scope["query_string"].startswith(b"team=8&token=")


def test_the_new_token_takes_the_place_of_the_cookie(application: Application, seen: Seen) -> None:
    """By the name that the application's session has; other cookies stay."""
    token = FACTORY.good()
    application.verdict(token, headers=[(b"cookie", b"theme=dark; session=old")])
    (scope,) = seen.scopes

    assert dict(scope["headers"])[b"cookie"] == f"theme=dark; session={token}".encode()


def test_each_question_has_a_state_of_its_own(application: Application, seen: Seen) -> None:
    """What one dependency puts there does not reach the next refresh, nor the server's state."""
    state: dict[str, Any] = {"pool": "p"}
    for _ in range(2):
        application.verdict(FACTORY.good(), state=state)

    assert [one["state"]["pool"] for one in seen.scopes] == ["p", "p"]
    assert state == {"pool": "p"}


def test_what_does_not_fit_is_not_guessed(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """A dependency that would find less than at the handshake is not asked; the log says so."""
    application.app.dependency_overrides[authorize_item] = Reads.everything
    large = application.verdict(FACTORY.good(), headers=[(b"x-padding", b"a" * 5000)])
    told = list(caplog.messages)
    small = application.verdict(FACTORY.good(), headers=[(b"x-padding", b"a" * 500)])

    assert reason_of(large) == "query_invalid"
    assert told == ["refresh_refused reason='query_invalid' path='/items/42/ws'"]
    assert isinstance(small, Grant)


@pytest.mark.parametrize(
    ("error", "line", "has_traceback"),
    [
        pytest.param(
            HTTPException(404),
            "refresh_refused reason='forbidden' path='/items/42/ws' detail='Not Found'",
            False,
            id="refused",
        ),
        pytest.param(KeyError("x"), "refresh_failed path='/items/42/ws'", True, id="failed"),
    ],
)
def test_logs_why_rights_were_denied(
    application: Application,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    line: str,
    has_traceback: bool,
) -> None:
    """A refusal is a warning; a fault of the application is an error, with its traceback."""

    async def raising() -> Grant:
        raise error

    application.app.dependency_overrides[authorize_item] = raising
    application.verdict(FACTORY.good())
    (record,) = (one for one in caplog.records if one.levelno >= logging.WARNING)

    assert record.getMessage() == line
    assert record.levelno == (logging.ERROR if has_traceback else logging.WARNING)
    assert bool(record.exc_info) is has_traceback


def test_a_refusal_that_is_logged_already_is_logged_once(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """`itemwire_auth` has written a line with the cause; a second one would be counted twice."""

    async def nobody(principal: CurrentPrincipal) -> Grant:
        raise Forbidden(f"{principal.subject} may not")

    application.app.dependency_overrides[authorize_item] = nobody
    application.verdict(FACTORY.good())
    application.verdict("no token")

    assert [message.split()[0] for message in caplog.messages if "refus" in message] == [
        "refused",
        "refused",
    ]


def test_what_is_kept_is_counted_until_it_is_replaced_or_gone() -> None:
    """The gauge says how much memory handshakes hold."""
    counters = ChannelCounters()
    scope = {"path": "/ws", "query_string": b"", "headers": [(b"x-team", b"7" * 100)]}
    kept = KeptHandshake.of(scope, Inputs(headers=frozenset({"x-team"})), counters)
    held = counters.kept_handshake_bytes
    nothing = KeptHandshake.of(scope, Inputs(), counters)
    presented = kept.presented
    held_still = counters.kept_handshake_bytes
    kept = kept.keeping(presented.with_token("t", "session"), kept.inputs, counters)
    replaced = counters.kept_handshake_bytes
    del kept

    assert 100 < held < 200
    assert (nothing.kept, held_still) == (None, held)
    assert replaced == held + len(b"token=t")
    assert counters.kept_handshake_bytes == 0
