"""Where a host application has put the channels, and whether that means what it seems to."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

NO_PREFIX: Final = 'the channels: give them one, as in include_router(live.router, prefix="/live")'
"""The name of the mount: FastAPI's error about a missing prefix ends with it."""

UNASKED: Final = (
    "the dependencies {names} stand at the router or application that includes live.router, and "
    "would not be asked about channels; put what they check into `user=` or into the functions of "
    "@live.channel, and include live.router where no dependencies stand; an application that has "
    'them for all its routes mounts live.app instead, as in app.mount("/live", live.app), and '
    "enters live.lifespan(app) in its lifespan"
)


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
    for route in routes:
        if isinstance(route, Mount):
            yield route.app
            yield from mounted_in(route.routes)
        elif (context := getattr(route, "include_context", None)) is not None:
            yield from mounted_in(context.included_router.routes)


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
