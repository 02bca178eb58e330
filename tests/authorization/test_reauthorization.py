"""Asking a route's dependencies again without a request: verdicts, bounds, no leaks."""

import asyncio
import gc
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, NoReturn

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, WebSocket
from starlette.types import Scope

from itemwire.authorization import deadline
from itemwire.authorization.reauthorization import (
    Reauthorization,
    Reauthorizer,
    SocketRights,
    reauthorization_of,
)
from itemwire.authorization.routes import SocketRoute, add_sockets
from itemwire.channels.reauthorization import Denied, Verdict
from itemwire.dependencies import SubscribeGrant
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.dependencies import SHORT_CUTS, CurrentPrincipal, authorize_item
from itemwire_auth.errors import Forbidden
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from itemwire_auth.state import install_auth
from itemwire_auth.testing import TokenFactory, signing_key
from tests.auth.conftest import NOW, verifier_of

FACTORY = TokenFactory(signing_key("HS256"), clock=lambda: NOW)

router = APIRouter()


@router.websocket("/items/{item_id}/ws")
async def item(websocket: WebSocket, grant: SubscribeGrant) -> None:
    """Do nothing: only what it depends on is asked."""


@router.websocket("/free/ws")
async def free(websocket: WebSocket) -> None:
    """Ask for no grant."""


class Application:
    """An application with these routes, and what it keeps of a socket."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.reauthorizer = Reauthorizer()
        install_auth(self.app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
        add_sockets(self.app, router, SHORT_CUTS)

    def connected(self, path: str = "/items/42/ws", **facts: object) -> Reauthorization:
        """Keep of a handshake what is kept of it."""
        scope: Scope = {"type": "websocket", "path": path, "app": self.app, "headers": [], **facts}
        for route in self.app.routes:
            if isinstance(route, SocketRoute):
                scope.update(route.matches(scope)[1])
        kept = reauthorization_of(WebSocket(scope, receive=_never, send=_never), self.reauthorizer)
        assert kept is not None
        return kept

    def verdict(self, token: str, path: str = "/items/42/ws", **facts: object) -> Verdict:
        """Refresh with a token, and see that nothing runs on."""

        async def scene() -> Verdict:
            answered: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
            async with self.reauthorizer:
                self.connected(path, **facts)(token, answered.set_result)
                verdict = await asyncio.wait_for(answered, 5)
            assert len(asyncio.all_tasks()) == 1
            return verdict

        return asyncio.run(scene())


async def _never(*_: object) -> NoReturn:
    raise AssertionError("nobody reads or writes here")


@pytest.fixture
def application() -> Application:
    """Give an application without an override."""
    return Application()


def reason_of(verdict: Verdict) -> str:
    """Tell why there is no grant."""
    assert isinstance(verdict, Denied)
    return verdict.reason.reason


def test_gives_the_grant_of_the_new_token(application: Application) -> None:
    """The same as a handshake would give."""
    verdict = application.verdict(FACTORY.good(sub="carol", scope="items:42:subscribe"))

    assert isinstance(verdict, Grant)
    assert (verdict.principal.subject, verdict.item_id) == ("carol", "42")
    assert verdict.can == {Action.SUBSCRIBE}


@pytest.mark.parametrize("presented", ["", "x", "\ud800", "a&token=b", "a b+c", "é\x00\n"])
def test_denies_what_is_no_token(application: Application, presented: str) -> None:
    """Whatever a client writes there travels as that text."""
    verdict = application.verdict(presented)

    assert reason_of(verdict) == "credentials_invalid"
    assert verdict.principal is None


@pytest.mark.parametrize(
    ("scope", "reason"), [("", "scope_missing"), ("items:7:subscribe", "forbidden")]
)
def test_tells_who_asked_where_that_one_may_not(
    application: Application, scope: str, reason: str
) -> None:
    """Else a token of somebody else could end a connection."""
    verdict = application.verdict(FACTORY.good(sub="mallory", scope=scope))

    assert reason_of(verdict) == reason
    assert verdict.principal is not None
    assert verdict.principal.subject == "mallory"


def test_heeds_an_override_of_after_the_handshake(application: Application) -> None:
    """One that came since, and none when it is gone."""

    async def nobody(principal: CurrentPrincipal) -> Grant:
        raise Forbidden(f"{principal.subject} may not")

    before = application.verdict(FACTORY.good())
    application.app.dependency_overrides[authorize_item] = nobody
    during = application.verdict(FACTORY.good())
    application.app.dependency_overrides.clear()

    assert isinstance(before, Grant)
    assert reason_of(during) == "forbidden"
    assert isinstance(application.verdict(FACTORY.good()), Grant)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HTTPException(404), "forbidden"),
        (HTTPException(401), "credentials_invalid"),
        (HTTPException(503), "overloaded"),
        (KeyError("x"), "internal"),
        (TimeoutError("database"), "internal"),
    ],
)
def test_reads_what_is_raised_by_the_table_of_refusals(
    application: Application, error: Exception, reason: str
) -> None:
    """As at the handshake (requirement 65)."""

    async def raising() -> Grant:
        raise error

    application.app.dependency_overrides[authorize_item] = raising

    assert reason_of(application.verdict(FACTORY.good())) == reason


def test_denies_what_needs_more_than_is_kept(application: Application) -> None:
    """A query of before is gone, and so is the right to guess what was in it."""

    async def of_team(principal: CurrentPrincipal, team: Annotated[str, Query()]) -> Grant:
        return Grant(principal, team, frozenset(Action))

    application.app.dependency_overrides[authorize_item] = of_team

    assert reason_of(application.verdict(FACTORY.good())) == "query_invalid"


async def _reads(websocket: WebSocket) -> Grant:
    await websocket.receive()
    raise AssertionError("there is nothing to read")


async def _accepts(websocket: WebSocket) -> Grant:
    await websocket.close()
    raise AssertionError("there is nobody to tell")


@pytest.mark.parametrize(
    ("override", "problem"), [(_reads, "cannot read"), (_accepts, "cannot send")]
)
def test_lets_no_dependency_talk_to_the_client(
    application: Application,
    override: Callable[[WebSocket], Coroutine[None, None, Grant]],
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The socket is in use: a close from here would be one in the middle of a frame."""
    application.app.dependency_overrides[authorize_item] = override

    assert reason_of(application.verdict(FACTORY.good())) == "internal"
    assert problem in caplog.text


def test_releases_what_dependencies_hold_before_it_answers(application: Application) -> None:
    """Also where they deny, and they learn that it was denied."""
    events: list[str] = []

    async def database() -> AsyncIterator[None]:
        try:
            yield
        except Forbidden:
            events.append("rolled back")
            raise
        finally:
            events.append("closed")

    async def rule(principal: CurrentPrincipal, _: Annotated[None, Depends(database)]) -> Grant:
        raise Forbidden("no")

    application.app.dependency_overrides[authorize_item] = rule
    verdict = application.verdict(FACTORY.good())

    assert reason_of(verdict) == "forbidden"
    assert events == ["rolled back", "closed"]


def test_denies_where_a_dependency_swallows_the_refusal(application: Application) -> None:
    """No grant came out of it, so there is none."""

    async def careless() -> AsyncIterator[None]:
        try:
            yield
        except Forbidden:
            return

    async def rule(principal: CurrentPrincipal, _: Annotated[None, Depends(careless)]) -> Grant:
        raise Forbidden("no")

    application.app.dependency_overrides[authorize_item] = rule

    assert reason_of(application.verdict(FACTORY.good())) == "internal"


def test_denies_on_a_route_that_asks_for_no_grant(application: Application) -> None:
    """There is nothing to refresh."""
    assert reason_of(application.verdict(FACTORY.good(), "/free/ws")) == "internal"


def test_waits_for_no_dependency_for_ever(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slower than that is a no, and what waited has let go (requirement 66)."""
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 0.01)
    events: list[str] = []

    async def stuck() -> Grant:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("let go")
        raise AssertionError

    application.app.dependency_overrides[authorize_item] = stuck

    assert reason_of(application.verdict(FACTORY.good())) == "overloaded"
    assert events == ["let go"]


def test_gives_up_at_the_end_and_waits_until_all_is_let_go(application: Application) -> None:
    """A server that stops leaves no transaction open, and answers nobody."""
    events: list[str] = []
    started = asyncio.Event()

    async def stuck() -> Grant:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            events.append("let go")
        raise AssertionError

    application.app.dependency_overrides[authorize_item] = stuck

    async def scene() -> None:
        async with asyncio.timeout(5), application.reauthorizer:
            application.connected()(FACTORY.good(), lambda _: events.append("answered"))
            await started.wait()
        assert events == ["let go"]  # here, and not when the loop is closed

    asyncio.run(scene())
    assert events == ["let go"]


def test_an_answer_that_fails_is_logged(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """No task fails unseen."""

    def fails(_: Verdict) -> None:
        raise ZeroDivisionError("a fault of ours")

    async def scene() -> None:
        application.connected()(FACTORY.good(), fails)
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)

    asyncio.run(scene())
    assert "a fault of ours" in caplog.text
    assert "refresh_failed" in caplog.messages


def test_offers_the_facts_that_are_documented(application: Application) -> None:
    """What the server's lifespan gave, who called, where the application is mounted."""
    found: list[Any] = []

    async def rule(websocket: WebSocket, principal: CurrentPrincipal) -> Grant:
        found.append((websocket.client, websocket.state.pool, websocket.scope["root_path"]))
        found.append((websocket.app, websocket.scope["route"].path, websocket.path_params))
        return Grant(principal, "42", frozenset(Action))

    application.app.dependency_overrides[authorize_item] = rule
    facts = {"client": ("192.0.2.7", 4711), "state": {"pool": "p"}, "root_path": "/live"}
    verdict = application.verdict(FACTORY.good(), "/live/items/42/ws", **facts)

    assert isinstance(verdict, Grant)
    assert found[0] == (("192.0.2.7", 4711), "p", "/live")
    assert found[1] == (application.app, "/items/{item_id}/ws", {"item_id": "42"})


def test_keeps_nothing_of_the_request(application: Application) -> None:
    """An idle socket must not hold the scope, the headers or the credential it came with."""
    headers = [(b"authorization", b"Bearer secret")]

    class Held(dict[str, Any]):
        """A scope that can be watched."""

    scope = Held(type="websocket", path="/items/42/ws", app=application.app, headers=headers)
    route = next(one for one in application.app.routes if isinstance(one, SocketRoute))
    scope |= route.matches(scope)[1]
    socket = WebSocket(scope, receive=_never, send=_never)
    kept = reauthorization_of(socket, application.reauthorizer)
    del socket
    gone = weakref.ref(scope)
    del scope
    gc.collect()

    assert kept is not None
    assert gone() is None
    assert not hasattr(kept, "__dict__")


def test_keeps_nothing_where_rights_cannot_be_asked_again(application: Application) -> None:
    """On a route that was not added with `add_sockets`."""
    scope: Scope = {"type": "websocket", "app": application.app, "headers": [], "route": None}
    foreign = WebSocket(scope, receive=_never, send=_never)

    assert reauthorization_of(foreign, application.reauthorizer) is None


class Reads:
    """Overrides of `authorize_item`, by how much of a handshake they read."""

    @staticmethod
    async def nothing(item_id: str, principal: CurrentPrincipal) -> Grant:
        """Look at the caller alone."""
        return Grant(principal, item_id, frozenset(Action))

    @staticmethod
    async def everything(websocket: WebSocket, item_id: str, principal: CurrentPrincipal) -> Grant:
        """Be given the connection itself."""
        assert websocket.scope["type"] == "websocket"
        return Grant(principal, item_id, frozenset(Action))


@pytest.mark.parametrize(
    ("override", "headers", "most"),
    [
        pytest.param(None, 57_000, 1000, id="no override"),
        pytest.param(Reads.nothing, 57_000, 1000, id="reads nothing"),
        pytest.param(Reads.everything, 57_000, 1000, id="over the bound"),
        pytest.param(Reads.everything, 3500, 4096 + 1000, id="within the bound"),
    ],
)
def test_a_socket_of_many_items_keeps_little_of_its_handshake(
    application: Application,
    override: Callable[..., Any] | None,
    headers: int,
    most: int,
) -> None:
    """It kept all headers: 57 KB of them held 72 KiB a socket (requirement 131)."""
    if override is not None:
        application.app.dependency_overrides[authorize_item] = override
    item_route = next(one for one in application.app.routes if isinstance(one, SocketRoute))
    counters = application.reauthorizer.counters
    count = 50

    def rights() -> SocketRights:
        padding = [(b"x-padding", bytes([97 + n % 26]) * 500) for n in range(headers // 500)]
        scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": padding}
        return SocketRights(application.reauthorizer, item_route, item_route, scope)

    rights()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    open_sockets = [rights() for _ in range(count)]
    taken = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    kept = counters.kept_handshake_bytes / count
    open_sockets.clear()

    assert kept <= taken < most
    assert (kept > 0) is (most > 4096)
    assert counters.kept_handshake_bytes == 0
