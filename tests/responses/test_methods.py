"""What is answered to a method that no route takes, and how often that is logged."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from itemwire.responses.methods import LOG_SECONDS, PathMethods


async def _nothing(_request: object) -> Response:
    return Response()


ROUTES = Starlette(
    routes=[
        Route("/both", _nothing, methods=["POST"]),
        Route("/both", _nothing, methods=["GET"]),
        WebSocketRoute("/ws", _nothing),
    ]
).routes


def request(path: str, method: str = "GET", **scope: object) -> Request:
    """Make a request as a server hands it to an application."""
    return Request(
        {"type": "http", "method": method, "path": path, "headers": [], "root_path": "", **scope}
    )


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_answers_nothing_else(status: int) -> None:
    """What a route has refused is not about the method."""
    assert PathMethods(ROUTES).answer(request("/ws"), HTTPException(status)) is None


def test_lists_the_methods_of_all_routes() -> None:
    """Of one path, whichever the router has found first."""
    answer = PathMethods(ROUTES).answer(request("/both", "PUT"), HTTPException(405))

    assert answer is not None
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_answers_for_the_whole_server() -> None:
    """`OPTIONS *` asks whether anybody is there (RFC 9110 section 9.3.7)."""
    methods = PathMethods(ROUTES)
    asked, read = [
        methods.answer(request("*", one), HTTPException(404)) for one in ("OPTIONS", "GET")
    ]

    assert asked is not None
    assert asked.status_code == 204
    assert read is None


@pytest.mark.parametrize(("version", "is_named"), [("1.0", True), ("1.1", True), ("2", False)])
def test_names_the_upgrade_where_http_has_one(version: str, *, is_named: bool) -> None:
    """HTTP/2 forbids both headers (RFC 9113 section 8.2.2)."""
    answer = PathMethods(ROUTES).answer(request("/ws", http_version=version), HTTPException(404))

    assert answer is not None
    assert answer.status_code == 426
    assert ("upgrade" in answer.headers, "connection" in answer.headers) == (is_named, is_named)


def test_logs_a_lost_upgrade_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """And again after that, for whoever looks at the log only then."""
    now = 100.0
    methods = PathMethods(ROUTES, lambda: now)
    for later in (0.0, LOG_SECONDS - 1, LOG_SECONDS, 2 * LOG_SECONDS - 1, 2 * LOG_SECONDS):
        now = 100.0 + later
        methods.answer(request("/ws"), HTTPException(404))

    assert len(caplog.messages) == 3
