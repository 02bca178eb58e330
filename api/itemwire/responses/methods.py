"""Answers requests whose path is right and whose method is not: 204, 405 and 426.

A router refuses with the methods of the first route of a path, though others may take more; it
knows no OPTIONS; and a request that has lost its upgrade finds no route at all.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from itemwire.responses.problems import problem
from itemwire_auth.audit import client_label

logger = logging.getLogger("itemwire.refusals")

METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
WHOLE_SERVER: Final = "*"  # what OPTIONS may ask about in place of a path (RFC 9110 section 9.3.7)
WITHOUT_UPGRADE: Final = ("2", "3")  # versions of HTTP that forbid these headers (RFC 9113 8.2.2)
LOG_SECONDS: Final = 60.0  # a crawler, or a client that tries on, must not fill the log

NO_UPGRADE: Final = (
    "This path takes WebSocket handshakes, and the request has no `Upgrade` header. If a client "
    "has sent one, a proxy in between has dropped it: let it pass on `Upgrade: websocket` and "
    "`Connection: Upgrade`."
)
NO_CONNECTION: Final = (
    "This path takes WebSocket handshakes, and the request has `Upgrade` but not `Connection: "
    "Upgrade`. If a client has sent both, a proxy in between has changed one: let it pass on "
    "`Upgrade: websocket` and `Connection: Upgrade`."
)
OLD_VERSION: Final = (
    "This path takes WebSocket handshakes, and HTTP/1.0 has none. A proxy in between speaks it, "
    "whatever the client did: let it use HTTP/1.1 (nginx: `proxy_http_version 1.1`)."
)
NO_SOCKETS: Final = (
    "The request is a WebSocket handshake, and the server takes none: its WebSocket support is "
    "switched off or not installed, or the handshake came over a version of HTTP without it."
)


class PathMethods:
    """What the paths of an application take, for requests that no route has taken."""

    def __init__(
        self, routes: Sequence[BaseRoute], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._routes = routes
        self._clock = clock
        self._quiet_until = 0.0

    def answer(self, request: Request, refused: HTTPException) -> Response | None:
        """Return the answer to a request that was refused for its method or its path.

        None if the path is not there, or the refusal is about something else.
        """
        scope = request.scope
        if refused.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return _not_allowed(scope, self._methods_of(scope) or _named_by(refused))
        if refused.status_code != HTTPStatus.NOT_FOUND:
            return None
        if _is_about_whole_server(scope):
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if not self._is_socket(scope):
            return None
        if scope["method"] == "GET":
            return self._require_upgrade(request)
        return _not_allowed(scope, {"GET"})

    def _methods_of(self, scope: Scope) -> set[str]:
        return {
            method
            for method in METHODS
            if any(self._matching({**scope, "type": "http", "method": method}))
        }

    def _is_socket(self, scope: Scope) -> bool:
        return any(self._matching({**scope, "type": "websocket"}))

    def _matching(self, scope: Scope) -> Iterator[BaseRoute]:
        """List the routes that would take a request; a mounted folder knows for itself."""
        if isinstance(scope.get("endpoint"), StaticFiles):
            return
        for route in self._routes:
            if not isinstance(route, Mount) and route.matches(dict(scope))[0] is Match.FULL:
                yield route

    def _require_upgrade(self, request: Request) -> Response:
        """Say that a socket is here, and what the handshake has lost on its way."""
        detail = _missing_from(request)
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + LOG_SECONDS
            path, client = str(request.scope["path"])[:200], client_label(request.scope)
            logger.warning("upgrade_missing path=%r client=%s detail=%r", path, client, detail)
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        if request.scope.get("http_version", "1.1").startswith(WITHOUT_UPGRADE):
            headers = {}
        return problem(HTTPStatus.UPGRADE_REQUIRED, detail, headers=headers)


def _is_about_whole_server(scope: Scope) -> bool:
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return scope["method"] == "OPTIONS" and path.removeprefix(prefix) == WHOLE_SERVER


def _missing_from(request: Request) -> str:
    upgrade = request.headers.get("upgrade", "")
    connection = ",".join(request.headers.getlist("connection")).lower()
    if request.scope.get("http_version") == "1.0":
        return OLD_VERSION
    if not upgrade:
        return NO_UPGRADE
    return NO_SOCKETS if "upgrade" in connection else NO_CONNECTION


def _named_by(refused: HTTPException) -> set[str]:
    allowed = (refused.headers or {}).get("Allow", "")
    return {method for part in allowed.split(",") if (method := part.strip())}


def _not_allowed(scope: Scope, methods: set[str]) -> Response:
    """Refuse the method, unless it only asks which there are (RFC 9110 section 9.3.7)."""
    implied = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    allow = {"Allow": ", ".join(sorted(methods | implied))}
    if scope["method"] == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allow)
    status = HTTPStatus.METHOD_NOT_ALLOWED
    return problem(status, status.phrase, headers=allow)
