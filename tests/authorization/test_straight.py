"""Dependencies asked in a straight line: what FastAPI's own solver would find, and when it asks."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final, NoReturn
from unittest.mock import create_autospec

import pytest
from fastapi import (
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    Path,
    Query,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.types import Scope

from itemwire.authorization.asking import HandshakeRequest
from itemwire.authorization.straight import Needs
from itemwire_auth.releasing import FUNCTION_STACK, REQUEST_STACK

called: Final[list[str]] = []


class Filters(BaseModel):
    """A model of several query parameters."""

    limit: int = 5
    tags: list[str] = []


async def level(level: Annotated[int, Query(ge=1)] = 1) -> int:
    """Read a parameter that may be invalid."""
    called.append("level")
    return level


def in_a_thread(x_tenant: Annotated[str, Header()], above: Annotated[int, Depends(level)]) -> str:
    """Be plain `def`, and depend on another."""
    called.append("thread")
    return f"{x_tenant}/{above}"


async def scoped(required: SecurityScopes, session: Annotated[str, Cookie()] = "none") -> str:
    """Be told of scopes, and read a cookie."""
    called.append("scoped")
    return f"{required.scopes} {session}"


async def raising() -> NoReturn:
    """Refuse."""
    raise LookupError("refused")


class Object:
    """An object that is called as a dependency, and asks another."""

    async def __call__(self, connection: HTTPConnection, above: int = Depends(level)) -> str:
        """Show what it is given."""
        called.append("object")
        return f"{connection.scope['path']} {above}"

    async def method(self, door: Annotated[int, Path()]) -> int:
        """Be a method that reads a parameter of the path."""
        called.append("method")
        return door


an_object: Final = Object()
Level = Annotated[int, Depends(level)]


async def nothing() -> None:
    """Depend on nothing."""


async def of_levels(one: Level, two: Level, afresh: int = Depends(level, use_cache=False)) -> None:
    """Depend on levels."""


async def of_threads(one: Annotated[str, Depends(in_a_thread)], level: Level) -> None:
    """Depend on threads."""


async def of_scopes(
    one: Annotated[str, Security(scoped, scopes=["a", "b"])],
    two: Annotated[str, Security(scoped, scopes=["b", "a"])],
    three: Annotated[str, Security(scoped, scopes=["c"])],
) -> None:
    """Depend on scopes."""


async def between(above: Annotated[str, Security(scoped, scopes=["b", "a", "b"])]) -> str:
    """Ask for scopes that one above has asked for."""
    return above


async def of_repeated_scopes(
    one: Annotated[str, Security(between, scopes=["a", "a"])],
) -> None:
    """Depend on scopes that are asked for twice: FastAPI tells them as they are written."""


async def of_objects(one: str = Depends(an_object), two: int = Depends(an_object.method)) -> None:
    """Depend on objects."""


async def of_schemes(
    key: str | None = Depends(APIKeyHeader(name="X-Tenant", auto_error=False)),
    bearer: object = Depends(HTTPBearer(auto_error=False)),
) -> None:
    """Depend on security schemes."""


async def of_models(
    filters: Annotated[Filters, Query()], x_tag: Annotated[list[str], Header()]
) -> None:
    """Depend on models of parameters."""


async def of_connections(request: Request, connection: HTTPConnection, level: Level) -> None:
    """Depend on connections."""


async def of_invalid(
    door: str, level: Level, missing: Annotated[int, Query()], again: Level
) -> None:
    """Depend on invalid."""


async def of_raising(
    one: Level, two: object = Depends(raising), three: str = Depends(scoped)
) -> None:
    """Depend on raising."""


async def unnamed(one: Annotated[None, Security(scoped)] = None, *, depth: Level) -> None:
    """Depend on unnamed."""


STRAIGHT: Final[Mapping[str, Callable[..., Any]]] = {
    one.__name__: one
    for one in (
        nothing,
        of_levels,
        of_threads,
        of_scopes,
        of_objects,
        of_schemes,
        of_models,
        of_connections,
        of_invalid,
        of_raising,
        of_repeated_scopes,
        unnamed,
    )
}

QUERIES: Final = ("", "level=3", "level=0", "level=x&limit=2&tags=a&tags=b&missing=4")


def connection(query: str) -> Request:
    """Make the handshake that dependencies are asked about."""
    headers = [
        (b"x-tenant", b"acme"),
        (b"x-tag", b"one"),
        (b"x-tag", b"two"),
        (b"cookie", b"session=s1"),
        (b"authorization", b"Bearer abc"),
    ]
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/doors/7",
        "path_params": {"door": "7"},
        "headers": headers,
        "query_string": query.encode(),
        "app": FastAPI(),
    }
    return HandshakeRequest(scope)


async def fastapis_own(call: Callable[..., Any], query: str, solved: dict[Any, Any]) -> Any:  # noqa: ANN401
    """Have FastAPI solve what a function depends on."""
    asked = connection(query)
    async with AsyncExitStack() as outer, AsyncExitStack() as inner:
        asked.scope.update({REQUEST_STACK: outer, FUNCTION_STACK: inner})
        outcome = await solve_dependencies(
            request=asked,
            dependant=get_dependant(path="/doors/{door}", call=call),
            dependency_cache=solved,
            async_exit_stack=outer,
            embed_body_fields=False,
        )
    return outcome.values, outcome.errors


async def straight(call: Callable[..., Any], query: str, solved: dict[Any, Any]) -> Any:  # noqa: ANN401
    """Solve the same in a straight line."""
    needs = Needs.of(get_dependant(path="/doors/{door}", call=call))
    assert needs is not None
    return await needs.find(connection(query), solved)


def outcome_of(solve: Callable[..., Any], call: Callable[..., Any], query: str) -> object:
    """Return all that can be seen of solving, as text where it is compared by what it shows."""
    called.clear()
    solved: dict[Any, Any] = {}
    try:
        values, errors = asyncio.run(solve(call, query, solved))
    except LookupError as error:
        return repr(error), list(called), solved
    shown = {name: _shown(value) for name, value in values.items()}
    return (
        shown,
        list(values),
        errors,
        list(called),
        {key: _shown(it) for key, it in solved.items()},
    )


def _shown(value: object) -> object:
    return "a connection" if isinstance(value, HTTPConnection) else value


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("name", STRAIGHT)
def test_it_finds_what_fastapi_finds_with_the_same_calls(name: str, query: str) -> None:
    """Values, errors and their order, who was called, and what is remembered by which key."""
    call = STRAIGHT[name]

    assert outcome_of(straight, call, query) == outcome_of(fastapis_own, call, query)


def test_what_was_returned_before_is_not_asked_for_again_whoever_solved_it() -> None:
    """The two solvers share what they remember, as two functions of one request do."""
    solved: dict[Any, Any] = {}
    asyncio.run(fastapis_own(of_threads, "level=4", solved))
    called.clear()

    values, errors = asyncio.run(straight(of_threads, "level=4", solved))

    assert (values, errors, called) == ({"one": "acme/4", "level": 4}, [], [])


async def yielding() -> AsyncIterator[int]:
    """Hold something open."""
    yield 1


def yielding_in_a_thread() -> Iterator[int]:
    """Hold something open, in a thread."""
    yield 1


class Made:
    """A dependency that is a class."""

    def __init__(self, level: Level) -> None:
        self.level = level


class Callable_:  # noqa: N801 - it is one
    """An object that is called in a thread."""

    def __call__(self) -> int:
        """Return a number."""
        return 1


@functools.wraps(level)
def wrapping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as decorators do
    """Return what a coroutine function returns, which FastAPI then awaits."""
    return level(*args, **kwargs)


def marked() -> Any:  # noqa: ANN401 - as a library's own function
    """Return what is to be awaited, though it is plain `def`; `asgiref` marks such functions."""
    return level()


class Marked:
    """An object with a method of that kind."""

    def method(self) -> Any:  # noqa: ANN401 - as above
        """Return what is to be awaited."""
        return level()

    method._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


async def with_body(body: Annotated[int, Body()]) -> None:
    """Depend on body."""


async def with_response(response: Response) -> None:
    """Depend on response."""


async def with_tasks(tasks: BackgroundTasks) -> None:
    """Depend on tasks."""


async def with_two(request: Request, websocket: WebSocket) -> None:
    """Depend on two."""


LEFT: Final[Mapping[str, Any]] = {
    "yields": yielding,
    "yields in a thread": yielding_in_a_thread,
    "a class": Made,
    "an object in a thread": Callable_(),
    "a wrapper": wrapping,
    "marked as to be awaited": marked,
    "a method marked as to be awaited": Marked().method,
    "a double of a coroutine function": create_autospec(level),
    "a partial": functools.partial(level, 3),
    "a body": with_body,
    "a response": with_response,
    "background tasks": with_tasks,
    "a request and a socket": with_two,
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_of_another_kind_is_left_to_fastapi_at_any_depth(kind: str) -> None:
    """What it holds open, is given or is made of is for FastAPI to handle."""

    async def above(it: object = Depends(LEFT[kind])) -> None:
        """Depend on it."""

    async def far_above(level: Level, it: object = Depends(above)) -> None:
        """Depend on it by another."""

    for one in (above, far_above):
        assert Needs.of(get_dependant(path="/", call=one)) is None
    assert Needs.of(get_dependant(path="/", call=of_levels)) is not None


async def _of_nothing() -> None: ...


async def _of_blind(_none: Annotated[None, Depends(_of_nothing)]) -> None: ...


async def _of_reading(_level: Annotated[int, Depends(level)]) -> None: ...


async def _of_connection(_connection: HTTPConnection) -> None: ...


async def _of_both(_none: Annotated[None, Depends(_of_nothing)], token: str = "") -> None: ...


@pytest.mark.parametrize(
    ("function", "is_blind"),
    [
        (_of_nothing, True),
        (_of_blind, True),
        (level, False),
        (_of_reading, False),
        (_of_connection, False),
        (_of_both, False),
    ],
)
def test_knows_who_looks_at_the_request(function: Callable[..., Any], is_blind: bool) -> None:
    """Who does, at any depth, is shown the request as a dependency may see it."""
    needs = Needs.of(get_dependant(path="/", call=function))

    assert needs is not None
    assert needs.is_blind is is_blind
