"""What a route's dependencies may read, and which errors are not for a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Query, Request, WebSocket
from fastapi.routing import APIWebSocketRoute
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBearer
from pydantic import AliasChoices, BaseModel
from starlette.requests import HTTPConnection

from itemwire.authorization.inputs import Inputs
from itemwire.authorization.solving import (
    Dependant,
    DependencyFailed,
    dependant_of,
    has_scheme,
    inputs_of,
    is_for_the_process,
    named_by,
    solve,
)

WHOLE = Inputs(whole=True)


class Model(BaseModel):
    """Parameters that are declared together."""

    team: str = ""


def nothing() -> None:
    """Read nothing."""


def header(x_team: Annotated[str, Header()] = "") -> None:
    """Read one header."""


def renamed(team: Annotated[str, Header(alias="X-Crew")] = "") -> None:
    """Read a header of another name than the parameter's."""


def cookie(theme: Annotated[str, Cookie()] = "") -> None:
    """Read one cookie."""


def query(team: Annotated[str, Query()] = "") -> None:
    """Read one query parameter."""


def model(them: Annotated[Model, Query()]) -> None:
    """Read whatever the model declares."""


def perhaps_model(them: Annotated[Model | None, Query()] = None) -> None:
    """Read it if it is there."""


def choices(
    team: Annotated[str, Query(validation_alias=AliasChoices("team", "crew"))] = "",
) -> None:
    """Read a parameter that has two names."""


def by_request(connection: HTTPConnection) -> None:
    """Be given the connection."""


def by_socket(websocket: WebSocket) -> None:
    """Be given the socket."""


def below(_: Annotated[None, Depends(header)], theme: Annotated[str, Cookie()] = "") -> None:
    """Read a cookie, and what is below it a header."""


@pytest.mark.parametrize(
    ("dependency", "inputs"),
    [
        pytest.param(nothing, Inputs(), id="nothing"),
        pytest.param(header, Inputs(headers=frozenset({"x-team"})), id="header"),
        pytest.param(renamed, Inputs(headers=frozenset({"x-crew"})), id="renamed header"),
        pytest.param(cookie, Inputs(cookies=frozenset({"theme"})), id="cookie"),
        pytest.param(query, Inputs(query=frozenset({"team"})), id="query"),
        pytest.param(
            below,
            Inputs(headers=frozenset({"x-team"}), cookies=frozenset({"theme"})),
            id="at any depth",
        ),
        pytest.param(model, WHOLE, id="model"),
        pytest.param(perhaps_model, WHOLE, id="optional model"),
        pytest.param(choices, WHOLE, id="two names"),
        pytest.param(by_request, WHOLE, id="connection"),
        pytest.param(by_socket, WHOLE, id="socket"),
        pytest.param(HTTPBearer(), Inputs(headers=frozenset({"authorization"})), id="bearer"),
        pytest.param(
            APIKeyHeader(name="X-Key"), Inputs(headers=frozenset({"x-key"})), id="key header"
        ),
        pytest.param(APIKeyCookie(name="Sid"), Inputs(cookies=frozenset({"Sid"})), id="key cookie"),
        pytest.param(APIKeyQuery(name="Key"), Inputs(query=frozenset({"Key"})), id="key query"),
    ],
)
def test_knows_what_a_dependency_may_read(dependency: Callable[..., Any], inputs: Inputs) -> None:
    """Less would be kept of a handshake than it needs when it is asked again; more costs memory."""
    assert inputs_of(_dependant(dependency), ()) == inputs


def several(team: Annotated[list[str] | None, Query()] = None) -> None:
    """Read all query parameters of one name."""


@pytest.mark.parametrize(
    ("dependency", "named"),
    [
        pytest.param(below, [{"x-team"}, {"theme"}, set()], id="at any depth"),
        pytest.param(model, [set(), set(), {"team"}], id="model"),
        pytest.param(perhaps_model, [set(), set(), {"team"}], id="optional model"),
        pytest.param(choices, [set(), set(), {"team", "crew"}], id="two names"),
        pytest.param(several, [set(), set(), set()], id="list"),
        pytest.param(by_request, [set(), set(), set()], id="connection"),
        pytest.param(HTTPBearer(), [{"authorization"}, set(), set()], id="bearer"),
    ],
)
def test_knows_what_a_dependency_reads_by_name(
    dependency: Callable[..., Any], named: list[set[str]]
) -> None:
    """Whatever may name a caller: headers, cookies, and query parameters."""
    found = named_by(_dependant(dependency))

    assert [found.headers, found.cookies, found.query] == named
    assert not found.whole


@pytest.mark.parametrize("reader", [by_request, by_socket])
def test_what_is_known_to_read_a_credential_alone_reads_no_more(reader: Callable[..., Any]) -> None:
    """And the endpoint, which is not called, may be given the socket."""
    assert inputs_of(_dependant(reader), {reader}) == Inputs()
    assert inputs_of(_dependant(reader), {nothing}) == WHOLE


@pytest.mark.parametrize(
    ("dependency", "has"), [(below, False), (by_request, False), (HTTPBearer(), True)]
)
def test_knows_a_security_scheme(dependency: Callable[..., Any], has: bool) -> None:
    """Who declares one reads its credential there, and not by itself from the request."""
    assert has_scheme(_dependant(dependency)) is has


async def door(websocket: WebSocket) -> None:
    """Be given the socket."""


def _dependant(dependency: Callable[..., Any]) -> Dependant:
    router = APIRouter()
    router.add_api_websocket_route("/", door, dependencies=[Depends(dependency)])
    (route,) = router.routes
    assert isinstance(route, APIWebSocketRoute)
    return route.dependant


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_what_ends_the_process_is_no_verdict(error: BaseException) -> None:
    """Also outside any task."""
    assert is_for_the_process(error)


def test_a_cancellation_is_for_the_task_if_somebody_has_cancelled_it() -> None:
    """Otherwise a dependency raised it, for instance by awaiting a task that was cancelled."""

    async def play() -> list[bool]:
        task = asyncio.current_task()
        assert task is not None
        error = asyncio.CancelledError()
        found = [is_for_the_process(error), is_for_the_process(GeneratorExit())]
        task.cancel()
        found += [is_for_the_process(error), is_for_the_process(error, 1)]
        found.append(is_for_the_process(GeneratorExit()))
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return found

    assert asyncio.run(play()) == [False, False, True, False, False]


def test_what_is_no_exception_is_raised_as_one() -> None:
    """So that whoever asks can answer; the log has what it was."""

    class Own(BaseException):
        """An exception that is no Exception."""

    def raising() -> None:
        raise Own

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    websocket = WebSocket(scope, receive=nothing, send=nothing)  # type: ignore[arg-type] # never called
    with pytest.raises(DependencyFailed, match="Own") as failed:
        asyncio.run(solve(websocket, _dependant(raising), str, {}))

    assert isinstance(failed.value.__cause__, Own)


@pytest.mark.parametrize("is_included", [False, True])
def test_finds_what_the_route_of_a_request_depends_on(is_included: bool) -> None:
    """With what the routers around it add."""
    found: list[Dependant] = []
    router = APIRouter(dependencies=[Depends(nothing)])

    @router.get("/")
    async def door(request: Request) -> None:
        found.append(dependant_of(request))

    app = FastAPI()
    if is_included:
        app.include_router(router, dependencies=[Depends(header)])
    else:
        app.router.routes.extend(router.routes)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
    }
    asyncio.run(app(scope, _no_body, _unheard))

    calls = [one.call for one in found[0].dependencies]
    assert calls == ([header, nothing] if is_included else [nothing])


async def _no_body() -> Any:  # noqa: ANN401 - ASGI's message
    return {"type": "http.request", "body": b""}


async def _unheard(_: Any) -> None:  # noqa: ANN401 - ASGI's message
    """Send nothing to nobody."""
