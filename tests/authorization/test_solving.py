"""Solving FastAPI's dependencies outside of a request: values, clean-up, overrides."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Security, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.security import SecurityScopes
from starlette.types import Message, Scope

import itemwire
from itemwire.authorization.solving import Solved, calls_of, solve, with_overrides
from itemwire_auth.releasing import release

FASTAPIS_OWN: Final = re.compile(
    r"fastapi\.dependencies|_astack|solve_dependencies\(|get_dependant\(|get_websocket_app"
)


class Pass:
    """What the endpoints below are given."""

    def __init__(self, *words: str) -> None:
        self.words = words


async def stamp(level: Annotated[int, Query()] = 1) -> int:
    """Read a parameter."""
    return level


async def guard(required: SecurityScopes, level: Annotated[int, Depends(stamp)]) -> Pass:
    """Give a pass that shows what it was asked for."""
    return Pass(*required.scopes, str(level))


Guarded = Annotated[Pass, Security(guard, scopes=["enter"])]

router = APIRouter()


@router.post("/doors/{door}")
async def http_door(door: str, given: Guarded) -> None:
    """Ask for a pass over HTTP."""


@router.websocket("/doors/{door}")
async def socket_door(websocket: WebSocket, door: str, given: Guarded) -> None:
    """Ask for a pass on a socket."""


@router.post("/two")
async def two_passes(one: Guarded, other: Annotated[Pass, Depends(guard)]) -> None:
    """Ask for two."""


def connection_to(kind: str, query: str = "") -> tuple[Request | WebSocket, Any]:
    """Make a connection, and find the route it goes to."""
    scope: Scope = {"type": kind, "path": "/doors/7", "path_params": {"door": "7"}, "headers": []}
    scope.update({"query_string": query.encode(), "app": FastAPI(), "method": "POST"})

    async def nothing(*_: object) -> NoReturn:
        raise AssertionError("nobody reads or sends")

    if kind == "http":
        return Request(scope, nothing), route_of(http_door)
    return WebSocket(scope, nothing, nothing), route_of(socket_door)


def route_of(endpoint: Callable[..., Any]) -> Any:  # noqa: ANN401 - of either kind
    """Find the route of an endpoint."""
    routes = (one for one in router.routes if isinstance(one, APIRoute | APIWebSocketRoute))
    return next(one for one in routes if one.endpoint is endpoint)


each_kind = pytest.mark.parametrize("kind", ["http", "websocket"])


@each_kind
def test_gives_the_one_value_of_a_kind(kind: str) -> None:
    """With the scopes the endpoint asks for, and what each dependency returned."""
    connection, route = connection_to(kind, "level=3")
    solved: Solved = {}
    given = asyncio.run(solve(connection, route.dependant, Pass, solved))

    assert given.words == ("enter", "3")
    assert given in solved.values()


@pytest.mark.parametrize(
    ("kind", "error"),
    [("http", RequestValidationError), ("websocket", WebSocketRequestValidationError)],
)
def test_raises_what_fastapi_raises_for_a_wrong_parameter(
    kind: str, error: type[Exception]
) -> None:
    """The handlers of refusals tell these two apart from others."""
    connection, route = connection_to(kind, "level=high")
    with pytest.raises(error):
        asyncio.run(solve(connection, route.dependant, Pass, {}))


@pytest.mark.parametrize(("endpoint", "kind"), [(http_door, float), (two_passes, Pass)])
def test_refuses_to_guess_which_value_is_meant(
    endpoint: Callable[..., Any], kind: type[object]
) -> None:
    """None of the kind, or two: a right worked out from either would be invented."""
    connection, _ = connection_to("http")
    with pytest.raises(RuntimeError, match="exactly one"):
        asyncio.run(solve(connection, route_of(endpoint).dependant, kind, {}))


def test_closes_what_dependencies_hold_before_it_returns() -> None:
    """Nobody else closes it: this connection has no route that returns."""
    events: list[str] = []

    async def held() -> AsyncIterator[Pass]:
        yield Pass("held")
        events.append("closed")

    async def scene() -> Pass:
        connection, route = connection_to("websocket")
        dependant = with_overrides(route.dependant, {guard: held})
        given = await solve(connection, dependant, Pass, {})
        events.append("returned")
        return given

    assert asyncio.run(scene()).words == ("held",)
    assert events == ["closed", "returned"]


def test_a_swallowed_exception_gives_no_value() -> None:
    """A stack of context managers may suppress what a dependency raised."""

    async def careless() -> AsyncIterator[int]:
        try:
            yield 1
        except LookupError:
            return

    async def refusing(_: Annotated[int, Depends(careless)]) -> Pass:
        raise LookupError

    connection, route = connection_to("http")
    dependant = with_overrides(route.dependant, {guard: refusing})
    with pytest.raises(RuntimeError, match="0 arguments of Pass"):
        asyncio.run(solve(connection, dependant, Pass, {}))


@each_kind
def test_overrides_do_what_fastapi_makes_of_them(kind: str) -> None:
    """At any depth, below an override too, and with the scopes that were asked for."""

    async def above(required: SecurityScopes, level: Annotated[int, Depends(stamp)]) -> Pass:
        return Pass("above", *required.scopes, str(level))

    async def ninth() -> int:
        return 9

    connection, route = connection_to(kind, "level=3")
    below = with_overrides(route.dependant, {stamp: ninth})
    both = with_overrides(route.dependant, {guard: above, stamp: ninth})

    assert asyncio.run(solve(connection, below, Pass, {})).words == ("enter", "9")
    assert asyncio.run(solve(connection, both, Pass, {})).words == ("above", "enter", "9")
    assert asyncio.run(solve(connection, route.dependant, Pass, {})).words == ("enter", "3")


def test_lists_what_is_called_at_any_depth() -> None:
    """Of an override what that asks for, and no longer what the original asked for."""

    async def free() -> Pass:
        return Pass()

    dependant = route_of(socket_door).dependant

    assert list(calls_of(dependant)) == [socket_door, guard, stamp]
    assert list(calls_of(dependant, {guard: free})) == [socket_door, guard, free]


def test_releases_early_what_fastapi_would_hold_until_a_socket_ends() -> None:
    """FastAPI itself runs this route: `release` knows where it keeps the open dependencies."""
    events: list[str] = []

    async def database() -> AsyncIterator[None]:
        yield
        events.append("closed")

    app = FastAPI()

    @app.websocket("/", dependencies=[Depends(database)])
    async def socket(websocket: WebSocket) -> None:
        await release(websocket)
        events.append("serving")

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is sent")

    scope: Scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))

    assert events == ["closed", "serving"]


def test_fastapis_internals_are_named_in_two_places() -> None:
    """An upgrade of FastAPI that changes one of them is mended in two files."""
    package = Path(itemwire.__file__).parent
    naming = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if FASTAPIS_OWN.search(path.read_text())
    }

    assert naming == {"authorization/solving.py", "authorization/straight.py"}


@pytest.mark.parametrize(("use_cache", "calls"), [(True, 1), (False, 2)])
def test_an_override_is_called_as_often_as_what_it_replaces(use_cache: bool, calls: int) -> None:
    """`use_cache=False` asks for a value of its own, also of the override."""
    called: list[str] = []

    async def original() -> str:
        raise AssertionError("it is overridden")

    async def instead() -> str:
        called.append("instead")
        return "x"

    given = Depends(original, use_cache=use_cache)

    async def door(one: Annotated[str, given], other: Annotated[str, given]) -> None:
        """Ask twice."""

    own = APIRouter()
    own.add_api_websocket_route("/", door)
    connection, _ = connection_to("websocket")
    (route,) = own.routes
    assert isinstance(route, APIWebSocketRoute)
    dependant = with_overrides(route.dependant, {original: instead})
    with pytest.raises(RuntimeError, match="2 arguments of str"):
        asyncio.run(solve(connection, dependant, str, {}))

    assert len(called) == calls
