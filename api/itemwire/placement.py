"""Where a host application has put the channels, and whether that means what it seems to."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Scope
from typing_extensions import override

NO_PREFIX: Final = 'the channels: give them one, as in include_router(live.router, prefix="/live")'
"""The name of the mount: FastAPI's error about a missing prefix ends with it."""

UNASKED: Final = (
    "the dependencies {names} stand at the router or application that includes live.router, and "
    "would not be asked about channels; put what they check into `user=` or into the functions of "
    "@live.channel, and include live.router where no dependencies stand; an application that has "
    'them for all its routes mounts live.app instead, as in app.mount("/live", live.app), and '
    "enters live.lifespan(app) in its lifespan"
)


MATCHED: Final = "itemwire.matched"  # a key of the ASGI scope, which no client can set
NOT_MATCHED: Final[tuple[object, tuple[Match, Scope]]] = (None, (Match.NONE, {}))


class ChannelMount(Mount):
    """The mount of the channels: a path that has a line break in it leads there, too.

    FastAPI copies the mount where it is included, and gives the copy an expression of its own: each
    that is given is turned into one that matches line breaks.
    """

    @property  # type: ignore[explicit-override] # mypy does not see it where there is a setter
    @override
    def path_regex(self) -> re.Pattern[str]:
        """Return what a path has to match."""
        return self._path_regex

    @path_regex.setter
    @override
    def path_regex(self, expression: re.Pattern[str]) -> None:
        self._path_regex = with_line_breaks(expression)

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request goes to the channels, and what its scope gains then.

        FastAPI asks the routes that it has included twice about each request: the second time it is
        told what was found the first time. Where the prefix has parameters, it is worked out anew.
        """
        asked = self, scope["path"], scope.get("root_path"), scope.get("path_params") or None
        known: tuple[object, tuple[Match, Scope]] = scope.pop(MATCHED, NOT_MATCHED)
        if known[0] == asked:
            return known[1]
        found = super().matches(scope)
        if found[0] is Match.FULL and asked[-1] is None:
            scope[MATCHED] = asked, found
        return found


def with_line_breaks(expression: re.Pattern[str]) -> re.Pattern[str]:
    """Return the same expression, in which a dot stands for a line break as well."""
    return re.compile(expression.pattern, expression.flags | re.DOTALL)


def take_line_breaks(host: Starlette, app: ASGIApp) -> None:
    """Let paths with a line break in them reach an application that a host has mounted.

    Starlette's mounts do not match them, so that the host would refuse them without a reason.
    """
    for route in mounts_in(host.routes):
        if route.app is app:
            route.path_regex = with_line_breaks(route.path_regex)


def check_placement(host: Starlette, app: ASGIApp) -> None:
    """Raise ValueError if dependencies of the host seem to guard the channels, and do not.

    FastAPI asks those of `include_router` ahead of its own routes, and not ahead of a mounted
    application, which the channels are.
    """
    for dependencies in _placements(host.routes, app, ()):
        if dependencies:
            names = ", ".join(_name_of(one) for one in dependencies)
            raise ValueError(UNASKED.format(names=names))


def mounted_in(routes: Iterable[BaseRoute]) -> Iterator[ASGIApp]:
    """List the applications that are mounted anywhere in a tree of routes."""
    return (mount.app for mount in mounts_in(routes))


def mounts_in(routes: Iterable[BaseRoute]) -> Iterator[Mount]:
    """List the mounts anywhere in a tree of routes."""
    for route in routes:
        if isinstance(route, Mount):
            yield route
            yield from mounts_in(route.routes)
        elif (context := getattr(route, "include_context", None)) is not None:
            yield from mounts_in(context.included_router.routes)


def _placements(
    routes: Iterable[BaseRoute], app: ASGIApp, above: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    """List the dependencies that stand above each place of an application in a tree of routes."""
    for route in routes:
        if isinstance(route, Mount):
            if route.app is app:
                yield above
            else:  # a sub-application: what stands above it is not asked about any of its routes
                yield from _placements(route.routes, app, ())
        elif (context := getattr(route, "include_context", None)) is not None:
            # What `include_router` leaves among the routes; FastAPI documents none of its parts.
            below: Iterable[BaseRoute] = context.included_router.routes
            yield from _placements(below, app, (*above, *context.dependencies))


def _name_of(dependency: Any) -> str:  # noqa: ANN401 - FastAPI's Depends
    call = dependency.dependency
    return str(getattr(call, "__name__", type(call).__name__))
