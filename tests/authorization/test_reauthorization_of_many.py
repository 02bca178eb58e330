"""A socket of many items asks about each by what speaks for its caller now, and nothing older."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, NoReturn

import pytest
from fastapi import APIRouter, Depends, WebSocket
from starlette.types import Scope

from itemwire.application import ChannelApplication
from itemwire.authorization import deadline
from itemwire.authorization.reauthorization import (
    Reauthorizer,
    SocketRights,
    batched,
    rights_of,
)
from itemwire.authorization.routes import add_sockets, socket_route_of
from itemwire.channels.reauthorization import Denied, Renewal
from itemwire.close_reasons import QUERY_INVALID
from itemwire.dependencies import SubscribeGrant
from itemwire.pacing import AT_ONCE
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.dependencies import SHORT_CUTS, CurrentPrincipal, authorize_item
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action
from itemwire_auth.state import install_state
from itemwire_auth.testing import TokenFactory, signing_key
from tests.auth.conftest import NOW, verifier_of

FACTORY = TokenFactory(signing_key("HS256"), clock=lambda: NOW)
OLD = b"Bearer the-token-of-the-handshake"
READING = "items:42:subscribe"

Answer = Callable[[Any], None]

router = APIRouter()


@router.websocket("/items/{item_id}/ws")
async def item(websocket: WebSocket, grant: SubscribeGrant) -> None:
    """Do nothing: only what it depends on is asked."""


@router.websocket("/ws")
async def many(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Do nothing: only what it depends on is asked."""


class Presented:
    """What a rule of the application saw, each time that it was asked about an item."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None, str | None]] = []

    async def rule(self, websocket: WebSocket, item_id: str, principal: CurrentPrincipal) -> Grant:
        """Allow everything, and note which credential came with the question."""
        header = websocket.headers.get("authorization")
        self.seen.append((item_id, header, websocket.query_params.get("token")))
        return Grant(principal, item_id, frozenset(Action))


class Application:
    """An application with these routes, and the rights of one socket at `/ws`."""

    def __init__(self) -> None:
        self.app = ChannelApplication()
        self.reauthorizer = Reauthorizer(keeps_credentials=False)
        install_state(self.app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
        add_sockets(self.app, router, SHORT_CUTS)

    @cached_property
    def rights(self) -> SocketRights:
        """Return the rights of the socket, kept of its handshake when they are first used."""
        scope: Scope = {
            "type": "websocket",
            "path": "/ws",
            **self.app.scope_parts,
            "query_string": b"team=7",
            "headers": [(b"authorization", OLD)],
            "route": socket_route_of(self.app, many),
        }
        socket = WebSocket(scope, receive=_never, send=_never)
        return rights_of(socket, self.reauthorizer, item)

    def ask(self, *questions: Callable[[Answer], None]) -> list[Any]:
        """Ask one question after the other, and return the answers."""

        async def scene() -> list[Any]:
            answers: list[Any] = []
            async with self.reauthorizer:
                for question in questions:
                    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                    question(answered.set_result)
                    answers.append(await asyncio.wait_for(answered, 5))
            return answers

        return asyncio.run(scene())


async def _never(*_: object) -> NoReturn:
    raise AssertionError("nobody reads or writes here")


@pytest.fixture
def application() -> Application:
    """Give an application without an override."""
    return Application()


@pytest.fixture
def presented(application: Application) -> Presented:
    """Give a rule that notes what it is presented with, as the application's own."""
    presented = Presented()
    application.app.dependency_overrides[authorize_item] = presented.rule
    return presented


def caller(sub: str = "carol") -> Principal:
    """Verify a caller as a handshake does."""
    return verifier_of(FACTORY).verify(FACTORY.good(sub=sub))


def test_a_few_items_of_all_sockets_are_asked_about_in_a_turn(application: Application) -> None:
    """A burst of joins on twenty sockets held up everybody else for 130 ms."""
    turn, turns, number = 0, list[int](), 6 * AT_ONCE
    principal = caller()

    async def rule(item_id: str) -> Grant:
        turns.append(turn)
        return Grant(principal, item_id, frozenset(Action))

    async def scene() -> None:
        nonlocal turn
        answers: list[object] = []
        async with application.reauthorizer:
            rights = application.rights
            for one in range(number):
                rights.of_item(principal, str(one), rights.due(), answers.append)
            while len(answers) < number:
                await asyncio.sleep(0)
                turn += 1

    application.app.dependency_overrides[authorize_item] = rule
    asyncio.run(scene())

    assert len(turns) == number
    assert max(Counter(turns).values()) == AT_ONCE


def test_an_item_is_asked_about_with_what_the_handshake_presented(
    application: Application, presented: Presented
) -> None:
    """The path is the item's own; the caller is not verified again."""
    principal = caller()
    rights = application.rights
    (verdict,) = application.ask(
        lambda answer: rights.of_item(principal, "42", rights.due(), answer)
    )

    assert isinstance(verdict, Grant)
    assert verdict.principal is principal
    assert presented.seen == [("42", OLD.decode(), None)]


def test_after_a_refresh_the_new_token_alone_speaks_for_the_caller(
    application: Application, presented: Presented
) -> None:
    """For the items that are joined, and for every item that is joined later (requirement 69)."""
    rights, token = application.rights, FACTORY.good(sub="carol")

    def refresh(answer: Answer) -> None:
        rights.renew(token, ["42"], rights.due(), answer)

    def join(answer: Answer) -> None:
        rights.of_item(caller(), "43", rights.due(), answer)

    (renewal,) = application.ask(refresh)
    assert isinstance(renewal, Renewal)
    renewal.keep()  # as a session does that takes the token
    (verdict,) = application.ask(join)

    assert isinstance(verdict, Grant)
    bearer = f"Bearer {token}"  # in the place of the old credential, and in the query
    assert presented.seen == [("42", bearer, token), ("43", bearer, token)]


def test_a_refresh_that_is_denied_leaves_the_handshake_as_it_was(
    application: Application, presented: Presented
) -> None:
    """A token that is not accepted speaks for nobody, not even later."""
    rights = application.rights

    def refresh(answer: Answer) -> None:
        rights.renew("not.a.token", ["42"], rights.due(), answer)

    def join(answer: Answer) -> None:
        rights.of_item(caller(), "43", rights.due(), answer)

    denied, verdict = application.ask(refresh, join)

    assert isinstance(denied, Denied)
    assert isinstance(verdict, Grant)
    assert presented.seen == [("43", OLD.decode(), None)]


def test_each_item_has_its_own_verdict_by_the_new_token(application: Application) -> None:
    """More items than are asked about at once: none is left out, none takes another's."""
    items = [str(number) for number in range(36, 56)]
    token = FACTORY.good(sub="carol", scope=READING)
    rights = application.rights
    (renewal,) = application.ask(lambda answer: rights.renew(token, items, rights.due(), answer))

    assert isinstance(renewal, Renewal)
    assert list(renewal.verdicts) == items
    granted = [verdict for verdict in renewal.verdicts.values() if isinstance(verdict, Grant)]
    assert [(one.item_id, one.can) for one in granted] == [("42", frozenset({Action.SUBSCRIBE}))]
    denials = [one for one in renewal.verdicts.values() if isinstance(one, Denied)]
    assert {one.reason.reason for one in denials} == {"forbidden"}


async def _two_grants(
    first: Annotated[Grant, Depends(authorize_item)],
    principal: CurrentPrincipal,
    wide: Annotated[Grant, Depends(lambda: Grant(caller(), "42", frozenset(Action)))],
) -> None:
    """Ask for two grants of which only one can be meant."""


def test_two_grants_where_one_must_be_are_none() -> None:
    """Neither is taken: which of them the endpoint goes by cannot be known here."""
    twice = APIRouter()
    twice.add_api_websocket_route("/items/{item_id}/ws", _two_grants)
    twice.add_api_websocket_route("/ws", many)
    app = ChannelApplication()
    install_state(app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
    add_sockets(app, twice, SHORT_CUTS)
    application = Application()
    owner = application.reauthorizer
    scope: Scope = {"path": "/ws", "query_string": b"", "headers": []}
    routes = socket_route_of(app, many), socket_route_of(app, _two_grants)
    both = SocketRights(owner, *routes, scope)
    (verdict,) = application.ask(lambda answer: both.of_item(caller(), "42", both.due(), answer))

    assert isinstance(verdict, Denied)
    assert verdict.reason.reason == "internal"


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (7, [7]), (8, [8]), (9, [8, 1]), (17, [8, 8, 1])]
)
def test_splits_items_into_runs_and_leaves_none_out(count: int, sizes: list[int]) -> None:
    """The last run may be short."""
    items = [str(number) for number in range(count)]
    runs = list(batched(items, 8))

    assert [len(run) for run in runs] == sizes
    assert [one for run in runs for one in run] == items


async def _waits_for_ever() -> Grant:
    await asyncio.Event().wait()
    raise AssertionError


def test_a_refresh_that_takes_too_long_is_answered(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With who asked, and that it may be tried again; the handshake's credential still counts."""
    application.app.dependency_overrides[authorize_item] = _waits_for_ever
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 0.05)
    rights, token = application.rights, FACTORY.good(sub="carol")
    (denied,) = application.ask(
        lambda answer: rights.renew(token, ["42", "43"], rights.due(), answer)
    )

    assert isinstance(denied, Denied)
    assert (denied.reason.reason, denied.is_temporary) == ("overloaded", True)
    assert denied.principal is not None
    assert denied.principal.subject == "carol"


async def _reads_all(websocket: WebSocket, item_id: str, principal: CurrentPrincipal) -> Grant:
    assert websocket.scope["type"] == "websocket"
    return Grant(principal, item_id, frozenset(Action))


def test_an_item_is_not_joined_by_less_than_the_handshake_presented(
    application: Application,
) -> None:
    """An override that was set later reads what was not kept; without it the item is joined."""
    rights, who = application.rights, caller()

    def join(answer: Answer) -> None:
        rights.of_item(who, "42", rights.due(), answer)

    (joined,) = application.ask(join)
    application.app.dependency_overrides[authorize_item] = _reads_all
    (denied,) = application.ask(join)

    assert isinstance(joined, Grant)
    assert denied == Denied(QUERY_INVALID, who)
