"""Asks dependencies in a straight line where they need nothing but what a request says.

FastAPI looks at each dependency, and at each request anew, for all that one may be: a generator, a
class, one that takes a body, a response or background tasks. Here that is looked at once. What is
left for a request are the calls, and the parameters that FastAPI itself reads and validates.

A tree with a dependency of another kind below it is left to FastAPI as a whole.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from fastapi import Request, WebSocket
from fastapi.dependencies import models
from fastapi.dependencies.utils import request_params_to_args
from fastapi.security import SecurityScopes
from starlette.concurrency import run_in_threadpool

Dependant = models.Dependant

Found = tuple[dict[str, Any], list[Any]]
"""The arguments of a function, and FastAPI's errors: with any of them it is not called."""

# Where FastAPI keeps a function's parameters, and where it looks for them, in its own order.
_PLACES: Final = (
    ("path_params", "path_params"),
    ("query_params", "query_params"),
    ("header_params", "headers"),
    ("cookie_params", "cookies"),
)

# What a function has that may stand for another one, or return what is to be awaited though it is
# plain `def`: asyncio's mark on what `asgiref` and `unittest.mock` make of `async def`.
_MARKS: Final = ("__wrapped__", "_is_coroutine")


@dataclass(frozen=True, slots=True)
class DependencyCall:
    """One dependency: what it is given, and how its value is kept and handed on."""

    call: Callable[..., Any]
    is_async: bool  # else it runs in a thread, as FastAPI has it
    needs: "Needs"
    is_bare: bool  # it is given nothing
    name: str | None
    key: Any  # by which FastAPI finds again what it returned
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function is given: values of dependencies, parameters, the connection, scopes."""

    steps: tuple[DependencyCall, ...]
    reads: tuple[tuple[str, list[Any]], ...]
    connections: tuple[tuple[str, type], ...]
    scopes: tuple[str, list[str]] | None
    is_indirect: bool  # it is given what other dependencies return, and nothing else

    @property
    def is_blind(self) -> bool:
        """Return whether nothing of the request is read or handed on, at any depth."""
        return not (self.reads or self.connections) and all(
            one.needs.is_blind for one in self.steps
        )

    @property
    def is_nothing(self) -> bool:
        """Return whether the function has no arguments."""
        return self.is_indirect and not self.steps

    @classmethod
    def of(cls, dependant: Dependant) -> Self | None:
        """Return what a function needs; None if FastAPI has to work it out."""
        if not _is_plain(dependant):
            return None
        steps = [_step_of(below) for below in dependant.dependencies]
        if any(step is None for step in steps):
            return None
        fields = ((place, getattr(dependant, kind)) for kind, place in _PLACES)
        reads = tuple((place, found) for place, found in fields if found)
        connections, scopes = _connections_of(dependant), dependant.security_scopes_param_name
        return cls(
            tuple(step for step in steps if step is not None),
            reads,
            connections,
            None if scopes is None else (scopes, _scopes_of(dependant)),
            is_indirect=not (reads or connections or scopes),
        )

    async def find(self, connection: Request | WebSocket, solved: dict[Any, Any]) -> Found:
        """Ask the dependencies, and read the parameters, in the order in which FastAPI does.

        `solved` is what dependencies have returned before, and gains what they return now.
        """
        values: dict[str, Any] = {}
        errors: list[Any] = []
        for step in self.steps:
            given: dict[str, Any] = {}
            if not step.is_bare:
                given, problems = await step.needs.find(connection, solved)
                if problems:
                    errors += problems
                    continue
            if step.is_kept and step.key in solved:
                value = solved[step.key]
            elif step.is_async:
                value = await step.call(**given)
            else:
                value = await run_in_threadpool(step.call, **given)
            if step.name is not None:
                values[step.name] = value
            solved.setdefault(step.key, value)
        if not self.is_indirect:
            errors += self._read(connection, values)
        return values, errors

    def _read(self, connection: Request | WebSocket, values: dict[str, Any]) -> list[Any]:
        """Add what the function is given of the connection itself; return FastAPI's errors."""
        errors: list[Any] = []
        for place, fields in self.reads:
            found, problems = request_params_to_args(fields, getattr(connection, place))
            values.update(found)
            errors += problems
        for name, kind in self.connections:
            if isinstance(connection, kind):
                values[name] = connection
        if self.scopes is not None:
            name, words = self.scopes
            values[name] = SecurityScopes(scopes=[*words])
        return errors


def _step_of(dependant: Dependant) -> DependencyCall | None:
    call, needs = dependant.call, Needs.of(dependant)
    is_async = _is_async(call)
    if call is None or needs is None or is_async is None:
        return None
    return DependencyCall(
        call,
        is_async,
        needs,
        is_bare=needs.is_nothing,
        name=dependant.name,
        key=_key_of(dependant),
        is_kept=dependant.use_cache,
    )


def _is_plain(dependant: Dependant) -> bool:
    return not (
        dependant.body_params
        or dependant.response_param_name
        or dependant.background_tasks_param_name
        or getattr(dependant, "concurrency", None)
        or (dependant.request_param_name and dependant.websocket_param_name)
    )


def _connections_of(dependant: Dependant) -> tuple[tuple[str, type], ...]:
    kinds = (
        (dependant.http_connection_param_name, object),
        (dependant.request_param_name, Request),
        (dependant.websocket_param_name, WebSocket),
    )
    return tuple((name, kind) for name, kind in kinds if name)


def _is_async(call: Any) -> bool | None:  # noqa: ANN401 - whatever stands in a Depends
    """Return whether a call is awaited and no thread's; None if it is for FastAPI to say."""
    is_function = inspect.isfunction(call) or inspect.ismethod(call)
    kind = cast("type[object]", type(call))
    function = call if is_function else getattr(kind, "__call__", None)  # noqa: B004
    if not inspect.isroutine(function) or any(hasattr(call, mark) for mark in _MARKS):
        return None
    if inspect.iscoroutinefunction(function) and not hasattr(function, "__wrapped__"):
        return True
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return False if is_function and not yields else None


def _key_of(dependant: Dependant) -> Any:  # noqa: ANN401 - FastAPI's own kind of key
    own = getattr(models, "_get_cache_key", None)
    return dependant.cache_key if own is None else own(dependant=dependant)  # type: ignore[attr-defined]


def _scopes_of(dependant: Dependant) -> list[str]:
    """Return the scopes above a dependency as they are there, and its own that they lack."""
    above = dependant.parent_oauth_scopes or ()
    own = dict.fromkeys(dependant.own_oauth_scopes or ())
    return [*above, *(scope for scope in own if scope not in above)]
