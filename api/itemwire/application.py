"""The FastAPI application that serves channels, alone or inside a host application."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

Overrides = dict[Callable[..., Any], Callable[..., Any]]
"""What is called in place of each dependency."""

APPLICATION: Final = "itemwire.application"  # a key of the ASGI scope, which no client can set


class ChannelApplication(FastAPI):
    """An application that acts as a part of another one, its host, where it is mounted.

    In a host, `request.app` is the host, and the host's `dependency_overrides` hold here, too.
    `parts` is added to the scope of each request, by names that no client can set.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        self._own_overrides: Overrides = {}
        self._host: Starlette | None = None
        self.parts: dict[str, object] = {}
        self.seams: Overrides = {}
        """What the application itself calls in place of a dependency; its host may override it."""
        super().__init__(**options)

    @property
    def hosted_by(self) -> Starlette:
        """Return the application that this one is mounted in, or itself."""
        return self._host or self

    @hosted_by.setter
    def hosted_by(self, host: Starlette) -> None:
        self._host = None if host is self else host

    @property  # type: ignore[explicit-override] # mypy does not see it
    @override
    def dependency_overrides(self) -> Overrides:
        """Return what is called in place of each dependency, by the host or here."""
        given = self._own_overrides
        if self._host is not None:
            given = getattr(self._host, "dependency_overrides", {})
        if not self.seams:
            return given
        return {**self.seams, **given} if given else self.seams

    @dependency_overrides.setter
    @override
    def dependency_overrides(self, overrides: Overrides) -> None:
        self._own_overrides = overrides

    @property
    def scope_parts(self) -> Mapping[str, object]:
        """Return what the scope of each request holds of this application."""
        return {**self.parts, APPLICATION: self, "app": self.hosted_by}

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = scope.get("app")
        if isinstance(host, Starlette):
            self.hosted_by = host
        await super().__call__(scope, receive, send)

    @override
    def build_middleware_stack(self) -> ASGIApp:
        return _WithParts(self, super().build_middleware_stack())


class _WithParts:
    """ASGI middleware: adds the application's parts to each scope, after Starlette's `app`."""

    def __init__(self, application: ChannelApplication, app: ASGIApp) -> None:
        self._application = application
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            scope.update(self._application.scope_parts)
        return self._app(scope, receive, send)


def application_of(scope: Scope) -> ChannelApplication:
    """Return the application of Itemwire that a request has reached."""
    found: ChannelApplication = scope[APPLICATION]
    return found
