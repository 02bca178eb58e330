"""The FastAPI application that serves channels, alone or inside a host application."""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, Final, Protocol, cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from itemwire.placement import check_placement, take_line_breaks
from itemwire.tracing import hide_query

Overrides = dict[Callable[..., Any], Callable[..., Any]]
"""What is called in place of each dependency."""

APPLICATION: Final = "itemwire.application"  # a key of the ASGI scope, which no client can set

TELEMETRY: Final = "fastapi.telemetry"  # where a scope has the trace of its request, if any

LOOKS_AGAIN: Final = 1.0  # seconds until telemetry is looked for again

IGNORING_SOCKETS: Final = frozenset(
    {"ServerErrorMiddleware", "ExceptionTelemetryMiddleware", "AppBodyLimitMiddleware"}
)
"""What FastAPI puts around an application's middlewares, and what passes handshakes on as they are;
telemetry's only where nobody traces them."""

MAX_PREFIXES: Final = 1024  # a prefix may have parameters, which clients choose

_prefixes: Final[dict[str, None]] = {}  # where channels were reached, the newest last


def is_channel_path(path: str) -> bool:
    """Return whether channels of a host in this process were just reached by such a path."""
    parts = path.split("/")
    return any("/".join(parts[:end]) in _prefixes for end in range(2, len(parts) + 1))


class ChannelApplication(FastAPI):
    """An application that acts as a part of another one, its host, where it is mounted.

    In a host, `request.app` is the host, and the host's `dependency_overrides` hold here, too.
    `parts` is added to the scope of each request, by names that no client can set.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        self._host: Starlette | None = None
        self._is_traced = False
        self._looks_again_at = 0.0
        self.parts: dict[str, object] = {}
        self.seams: Overrides = {}
        """What the application itself calls in place of a dependency, with the same arguments.

        Its host may override it.
        """
        super().__init__(**options)
        self.router.dependency_overrides_provider = _Overriding(self)

    @property
    def hosted_by(self) -> Starlette:
        """Return the application that this one is mounted in, or itself."""
        return self._host or self

    @hosted_by.setter
    def hosted_by(self, host: Starlette) -> None:
        if host is not self and host is not self._host:
            check_placement(host, self)
            take_line_breaks(host, self)
            self._host = host

    @property
    def overrides(self) -> Overrides:
        """Return what is called in place of each dependency, here and by the host, who wins.

        It is not to be changed: `dependency_overrides` is.
        """
        hosts: Overrides = getattr(self._host, "dependency_overrides", {})
        given = [one for one in (self.seams, self.dependency_overrides, hosts) if one]
        if len(given) > 1:
            return {call: instead for one in given for call, instead in one.items()}
        return given[0] if given else {}

    @property
    def scope_parts(self) -> Mapping[str, object]:
        """Return what the scope of each request holds of this application."""
        return {**self.parts, APPLICATION: self, "app": self.hosted_by}

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = scope.get("app")
        if isinstance(host, Starlette):
            self.hosted_by = host
        if isinstance(host, FastAPI):  # which has looked for telemetry, and says if there is any
            scope.setdefault(TELEMETRY, None)
        elif scope["type"] == "websocket" and TELEMETRY not in scope and not self._may_trace():
            scope[TELEMETRY] = None
        if "app_root_path" in scope:  # only a mounted application has it
            _remember_prefix(scope)
        await super().__call__(_with_whole_path(scope), receive, send)

    @override
    def build_middleware_stack(self) -> ASGIApp:
        whole = super().build_middleware_stack()
        return _WithParts(self, whole, way_of_sockets(whole))

    def _may_trace(self) -> bool:
        """Return whether FastAPI's telemetry is on, as of the last second.

        It looks for it at each request, in the environment, which takes a handshake 5 µs.
        """
        telemetry = getattr(self, "_native_telemetry", None)
        now = monotonic()
        if telemetry is not None and now >= self._looks_again_at:
            self._looks_again_at = now + LOOKS_AGAIN
            self._is_traced = telemetry.enabled()
        return self._is_traced


class _Overriding:
    """What FastAPI asks for overrides when it solves the dependencies of a route."""

    def __init__(self, application: ChannelApplication) -> None:
        self._application = application

    @property
    def dependency_overrides(self) -> Overrides:
        """Return the overrides that hold at this moment."""
        return self._application.overrides


class _WithParts:
    """ASGI middleware: adds the application's parts to each scope, after Starlette's `app`.

    It is the first to see a request that is traced, so it takes the query out of its span.
    A handshake that nobody traces goes on `sockets`, everything else by the whole stack.
    """

    def __init__(self, application: ChannelApplication, app: ASGIApp, sockets: ASGIApp) -> None:
        self._application = application
        self._app = app
        self._sockets = sockets

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            scope.update(self._application.scope_parts)
            if scope.get("query_string"):
                hide_query()
        if scope["type"] == "websocket" and scope.get(TELEMETRY) is None:
            return self._sockets(scope, receive, send)
        return self._app(scope, receive, send)


def way_of_sockets(stack: ASGIApp) -> ASGIApp:
    """Return where a handshake enters a stack: behind what has to do with HTTP alone.

    That is the same stack, from its first middleware on that may do something with a socket. An
    application's own is one, whatever it is.
    """
    while _ignores_sockets(type(stack)):
        stack = cast("_Passing", stack).app
    return stack


class _Passing(Protocol):
    app: ASGIApp


def _ignores_sockets(kind: type) -> bool:
    is_theirs = kind.__module__.partition(".")[0] in {"fastapi", "starlette"}
    if is_theirs and kind.__name__ in IGNORING_SOCKETS:
        return True
    return getattr(kind, "ignores_sockets", False) is True


def _remember_prefix(scope: Scope) -> None:
    """Note by which prefix a request came, before its server logs it."""
    prefix: str = scope["root_path"]
    if not scope["path"].startswith(prefix):
        prefix = prefix.removeprefix(scope["app_root_path"])
    if prefix and prefix not in _prefixes:
        _prefixes[prefix] = None
        if len(_prefixes) > MAX_PREFIXES:
            del _prefixes[next(iter(_prefixes))]


def _with_whole_path(scope: Scope) -> Scope:
    """Return the scope of a request with the host's own prefix in its path, as ASGI wants it.

    An application with a `root_path` whose proxy takes that prefix off has it in `root_path` alone.
    What it mounts would find no route.
    """
    prefix: str = scope.get("app_root_path", "")
    if not prefix or scope["path"].startswith(scope["root_path"]):
        return scope
    return {**scope, "path": prefix + scope["path"]}


def application_of(scope: Scope) -> ChannelApplication:
    """Return the application of Itemwire that a request has reached."""
    found: ChannelApplication = scope[APPLICATION]
    return found
