"""Asks a route's dependencies at any time; names FastAPI's internals, as `straight` does.

FastAPI solves a route's dependencies right before it calls the endpoint, and has no public way to
do so at another time. Itemwire needs one: for a refreshed token, for one more item on an open
socket, and for each item of a batch. FastAPI documents none of the names imported here, so the
tests run on several of its versions (`.ci/versions`), and fail when one of them changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from typing import Any, Final, Protocol, TypeVar, cast, get_args, get_origin, runtime_checkable

from fastapi import Request, WebSocket
from fastapi.dependencies import models
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import get_websocket_app, websocket_session
from fastapi.security import APIKeyQuery
from fastapi.security.base import SecurityBase
from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from itemwire.application import TELEMETRY
from itemwire.authorization.inputs import NO_INPUTS, Inputs
from itemwire.authorization.straight import Needs
from itemwire_auth.releasing import FUNCTION_STACK, REQUEST_STACK

T = TypeVar("T")

Dependant = models.Dependant
"""What a route, or a dependency, depends on: FastAPI's tree of calls and parameters."""

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]
"""An application's `dependency_overrides`: what is called in place of what."""

Solved = dict[Any, Any]
"""What the dependencies have returned so far, by FastAPI's own keys."""

Endpoint = Callable[..., Awaitable[None]]

NO_OVERRIDES: Final[Overrides] = {}

MANY: Final = (list, set, frozenset, tuple, Sequence)
"""What a parameter is declared as that takes all values of its name."""

_CARRIED_OVER: Final = {one.name for one in fields(Dependant)} & {"use_cache", "concurrency"}
"""What an override takes over from the dependency it replaces; old versions have only one."""


class DependencyFailed(Exception):
    """A dependency raised what is no Exception, such as CancelledError; that is the cause."""


def is_for_the_process(error: BaseException, cancelled: int = 0) -> bool:
    """Return whether an error is meant for the process or the task, and not for a caller.

    So are KeyboardInterrupt, SystemExit, and a CancelledError where somebody has cancelled this
    task since it had been cancelled so many times. A CancelledError without that is of a
    dependency's own, for instance of a task that it awaited.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return True
    task = asyncio.current_task()
    return (
        isinstance(error, asyncio.CancelledError)
        and task is not None
        and task.cancelling() > cancelled
    )


async def solve(
    connection: Request | WebSocket, dependant: Dependant, kind: type[T], solved: Solved
) -> T:
    """Return the one value of this kind that the dependencies give the endpoint.

    `solved` holds what each dependency returned, also when a later one raises. Whatever they
    opened with `yield` is closed before this returns.

    Raises what a dependency raises, or DependencyFailed if that is no Exception; FastAPI's
    validation error for parameters that are not valid; and RuntimeError if the endpoint has no
    argument of this kind, or several.
    """
    try:
        return await _solve(connection, dependant, kind, solved)
    except Exception:
        raise
    except BaseException as error:
        if is_for_the_process(error):
            raise
        raise DependencyFailed(type(error).__name__) from error


async def _solve(
    connection: Request | WebSocket, dependant: Dependant, kind: type[T], solved: Solved
) -> T:
    found: list[T] = []  # a dependency may swallow the exception of another one
    async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
        connection.scope[REQUEST_STACK] = request_stack
        connection.scope[FUNCTION_STACK] = function_stack
        values = await values_within(connection, connection, dependant, solved)
        found += [value for value in values.values() if isinstance(value, kind)]
    if len(found) != 1:
        raise RuntimeError(
            f"{dependant.path} has {len(found)} arguments of {kind.__name__}: "
            "exactly one is needed to work out rights"
        )
    return found[0]


def dependant_for(call: Callable[..., Any], path: str) -> Dependant:
    """Return what a function depends on; what is named in the path is a path parameter."""
    return get_dependant(path=path, call=call)


async def values_within(
    handled: HTTPConnection,
    shown: Request | WebSocket,
    dependant: Dependant,
    solved: Solved,
    needs: Needs | None = None,
) -> dict[str, Any]:
    """Return the arguments of a function, while FastAPI handles the request that it is about.

    The function's dependencies find what they are shown, which may differ from what came.

    What dependencies open with `yield` is closed where those of the request's route are. `needs` is
    what `Needs.of` has found for the dependant.

    Raises what a dependency raises, and FastAPI's validation error for parameters.
    """
    if needs is not None:
        values, errors = await needs.find(shown, solved)
        if errors:
            raise _invalid(handled, errors)
        return values
    outcome = await solve_dependencies(
        request=shown,
        dependant=dependant,
        dependency_cache=solved,
        async_exit_stack=handled.scope[REQUEST_STACK],
        embed_body_fields=False,
    )
    if outcome.errors:
        raise _invalid(handled, outcome.errors)
    return outcome.values


def _invalid(connection: HTTPConnection, errors: list[Any]) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketRequestValidationError(errors)
    return RequestValidationError(errors)


def dependant_of(request: Request) -> Dependant:
    """Return what the route of a request depends on, with what its routers added."""
    context = request.scope.get("fastapi", {}).get("effective_route_context")
    route = request.scope["route"] if context is None else context
    dependant: Dependant = route.dependant
    return dependant


def socket_app_of(dependant: Dependant) -> ASGIApp:
    """Return an ASGI application that does what FastAPI makes of a WebSocket route.

    It is FastAPI's own where its telemetry traces a handshake, or a dependency needs its solver.
    """
    fastapis_own = get_websocket_app(dependant)
    needs, endpoint = Needs.of(dependant), cast("Endpoint", dependant.call)
    if needs is None:
        return websocket_session(fastapis_own)
    found = needs  # of a type that the function below can rely on

    async def serve(websocket: WebSocket) -> None:
        if websocket.scope.get(TELEMETRY) is not None:
            await fastapis_own(websocket)
            return
        values, errors = await found.find(websocket, {})
        if errors:
            raise WebSocketRequestValidationError(errors)
        await endpoint(**values)

    return websocket_session(serve)


def calls_of(dependant: Dependant, overrides: Overrides = NO_OVERRIDES) -> Iterator[Any]:
    """List what is called for a dependant, at any depth: first a call, then those below it.

    Below an override stand its own dependencies: those of the original are no longer asked.
    """
    yield dependant.call
    override = overrides.get(dependant.call) if dependant.call else None
    if override is not None:
        yield override
        dependant = get_dependant(path="", call=override)
    for below in dependant.dependencies:
        yield from calls_of(below, overrides)


class AskedFunction(Protocol):
    """A function with dependencies that is called outside of FastAPI's own routes."""

    def under(self, overrides: Overrides) -> Dependant:
        """Return what the function depends on, with an application's overrides in place."""
        ...


@runtime_checkable
class AsksFunctions(Protocol):
    """A dependency that asks functions when it is called, which its signature does not show."""

    def asked(self) -> Iterable[AskedFunction]:
        """Return the functions that it may ask."""
        ...


def inputs_of(
    dependant: Dependant, known: Collection[Callable[..., Any]], overrides: Overrides = NO_OVERRIDES
) -> Inputs:
    """Return what the dependencies of an endpoint may read of a request, at any depth.

    A dependency that is given the connection itself may read all of it, except those that are
    `known` to read no more than a credential. The endpoint is not called, so it may be given it.
    """
    inputs = _declared_by(dependant)
    for below in _all_below(dependant):
        inputs |= _declared_by(below)
        if isinstance(below.call, AsksFunctions):
            for function in below.call.asked():
                inputs |= inputs_of(function.under(overrides), known, overrides)
        elif isinstance(below.call, SecurityBase):
            inputs |= _read_by_scheme(below.call)
        elif _is_given_connection(below) and below.call not in known:
            inputs |= Inputs(whole=True)
    return inputs


def named_by(dependant: Dependant) -> Inputs:
    """Return what those below a dependant read of a request by its name, at any depth.

    That is what security schemes read, and what is declared as a parameter. One that takes a list
    is left out: it may come several times, and so names no caller.
    """
    inputs = NO_INPUTS
    for below in _all_below(dependant):
        if isinstance(below.call, SecurityBase):
            inputs |= _read_by_scheme(below.call)
        else:
            inputs |= _named_by_parameters(below)
    return inputs


def has_scheme(dependant: Dependant) -> bool:
    """Return whether a security scheme is below a dependant."""
    return any(map(_is_scheme, _all_below(dependant)))


def takes_connection(dependant: Dependant) -> bool:
    """Return whether one below a dependant is given the request itself; schemes do not count."""
    return any(
        _is_given_connection(below) and not _is_scheme(below) for below in _all_below(dependant)
    )


def needed_of_query(dependant: Dependant) -> Iterator[str]:
    """List the query parameters without which those below a dependant are not called."""
    for below in _all_below(dependant):
        if isinstance(below.call, APIKeyQuery) and below.call.auto_error:
            yield below.call.model.name
        for field in below.query_params:
            if field.field_info.is_required():
                yield field.alias


def _all_below(dependant: Dependant) -> Iterator[Dependant]:
    for below in dependant.dependencies:
        yield below
        yield from _all_below(below)


def _declared_by(dependant: Dependant) -> Inputs:
    groups = dependant.header_params, dependant.cookie_params, dependant.query_params
    if any(_is_compound(field) for fields in groups for field in fields):
        return Inputs(whole=True)
    headers, cookies, query = (
        frozenset(name for field in fields for name in _aliases(field.alias, field.field_info))
        for fields in groups
    )
    return Inputs(frozenset(name.lower() for name in headers), cookies, query)


def _named_by_parameters(dependant: Dependant) -> Inputs:
    headers, cookies, query = (
        frozenset(name for field in fields for name in _names_read(field))
        for fields in (dependant.header_params, dependant.cookie_params, dependant.query_params)
    )
    spelt = {name.lower() for name in headers}  # the fields of a model are not yet as headers are
    return Inputs(frozenset(spelt | {name.replace("_", "-") for name in spelt}), cookies, query)


def _names_read(field: Any) -> Iterator[str]:  # noqa: ANN401 - FastAPI's own kind of field
    """List the names under which a parameter, or the fields of a model, may be found."""
    model = _model_in(field.field_info.annotation)
    parts = {field.alias: field.field_info} if model is None else model.model_fields
    for name, info in parts.items():
        if not _takes_many(info.annotation):
            yield from _aliases(name, info)


def _aliases(name: str, info: FieldInfo) -> Iterator[str]:
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    yield name
    for choice in choices:
        if choice is not None:
            yield str(choice.path[0]) if isinstance(choice, AliasPath) else choice


def _takes_many(annotation: Any) -> bool:  # noqa: ANN401 - whatever stands in a signature
    kind = get_origin(annotation) or annotation
    return kind in MANY or any(map(_takes_many, get_args(annotation)))


def _is_compound(field: Any) -> bool:  # noqa: ANN401 - FastAPI's own kind of field
    """Return whether a parameter may be found under more names than its alias."""
    alias = field.field_info.validation_alias
    has_model = _model_in(field.field_info.annotation) is not None
    return not isinstance(alias, str | None) or has_model


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - as in a signature
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _read_by_scheme(scheme: SecurityBase) -> Inputs:
    name = getattr(scheme.model, "name", None)
    if name is None:
        return Inputs(headers=frozenset({"authorization"}))
    place = scheme.model.in_.value  # type: ignore[attr-defined] # an API key names both
    return Inputs(
        headers=frozenset({name.lower()} if place == "header" else ()),
        cookies=frozenset({name} if place == "cookie" else ()),
        query=frozenset({name} if place == "query" else ()),
    )


def _is_scheme(dependant: Dependant) -> bool:
    return isinstance(dependant.call, SecurityBase)


def _is_given_connection(dependant: Dependant) -> bool:
    return any(
        (
            dependant.request_param_name,
            dependant.websocket_param_name,
            dependant.http_connection_param_name,
        )
    )


def with_overrides(dependant: Dependant, overrides: Overrides) -> Dependant:
    """Copy a dependant, with overrides in place of what is called below it."""
    return replace(
        dependant,
        dependencies=[
            with_overrides(_overridden(below, overrides), overrides)
            for below in dependant.dependencies
        ],
    )


def _overridden(dependant: Dependant, overrides: Overrides) -> Dependant:
    """Return the dependant of the override, if any, as `solve_dependencies` makes it."""
    override = overrides.get(dependant.call) if dependant.call else None
    if override is None:
        return dependant
    required = [*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ())]
    instead = get_dependant(
        path=dependant.path or "",
        call=override,
        name=dependant.name,
        parent_oauth_scopes=list(dict.fromkeys(required)),
        scope=dependant.scope,
    )
    return replace(instead, **{name: getattr(dependant, name) for name in _CARRIED_OVER})
