"""Installs authentication in an application that has no channels, in one call.

app = FastAPI()
install_auth(app, AuthSettings())
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException, WebSocketException

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.building import build_authenticator, build_policy, session_cookie
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.credentials import SUBPROTOCOL_PREFIX
from itemwire_auth.errors import AuthError
from itemwire_auth.handled_socket import accept_socket
from itemwire_auth.open_sockets import OpenSockets
from itemwire_auth.policies import Policy
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.redaction import redact_server_lines
from itemwire_auth.refusals import refusal
from itemwire_auth.settings import AuthSettings
from itemwire_auth.state import install_state

Closing = Callable[[WebSocket, Exception], Awaitable[None]]


def install_auth(
    app: FastAPI,
    auth: AuthSettings | Authenticator,
    policy: Policy | None = None,
    cookie: SessionCookie | None = None,
    metrics_token: str | None = None,
) -> None:
    """Make the dependencies of `itemwire_auth` work in an application.

    Call it before the application starts. While that runs, published keys are fetched and kept
    fresh. A socket that is refused is told why, in a form that browsers show, and one that `accept`
    has accepted ends when the caller's login does. What servers log about requests holds no
    credentials. The other routes of the application stay as they are.

    Without a policy that of the settings decides, or the token's own rights. Without a metrics
    token `scraper` refuses everybody.

    Raises `KeyProblem` or `ValueError`, saying what to do, for settings that cannot be.
    """
    if isinstance(auth, AuthSettings):
        policy = policy or build_policy(auth)
        cookie = cookie or session_cookie(auth)
        auth = build_authenticator(auth)
    sockets = OpenSockets(auth)
    install_state(app, auth, policy, cookie, metrics_token, sockets=sockets)
    _run_beside(app, auth, policy, sockets)
    _tell_refusals(app)


def _run_beside(
    app: FastAPI, authenticator: Authenticator, policy: Policy | None, sockets: OpenSockets
) -> None:
    """Run what needs the application's lifespan, around the one that it has."""
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncGenerator[Any]:
        redact_server_lines()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(authenticator.running())
            if isinstance(policy, PolicyURL):
                await stack.enter_async_context(policy)
            await stack.enter_async_context(sockets.running())
            yield await stack.enter_async_context(inner(running))

    app.router.lifespan_context = lifespan


def _tell_refusals(app: FastAPI) -> None:
    """Answer refusals of this package; whatever else is raised is answered as before."""
    before = cast("Closing", app.exception_handlers.get(WebSocketException, _close))

    async def close(websocket: WebSocket, error: Exception) -> None:
        if isinstance(error.__cause__, AuthError):
            await accept_socket(websocket, _names_of(websocket))
        await before(websocket, error)

    async def refuse(connection: Request | WebSocket, error: Exception) -> Response | None:
        # Raised by a dependency of the application's own, so nobody has logged and counted it.
        told = refusal(connection, cast("AuthError", error))
        if isinstance(connection, WebSocket):
            await close(connection, told)
            return None
        return await http_exception_handler(connection, cast("HTTPException", told))

    app.add_exception_handler(WebSocketException, close)
    app.add_exception_handler(AuthError, refuse)  # type: ignore[arg-type] # one for both kinds


def _names_of(websocket: WebSocket) -> list[str]:
    """Return the subprotocols that a refused socket may be answered, so that browsers go on.

    A browser hides why a handshake was denied, so it is accepted first; and that fails, too, where
    it has offered subprotocols and gets none.
    """
    offered: list[str] = websocket.scope.get("subprotocols", [])
    return [one for one in offered if not one.startswith(SUBPROTOCOL_PREFIX)]


async def _close(websocket: WebSocket, error: Exception) -> None:
    told = cast("WebSocketException", error)
    await websocket.close(told.code, told.reason)
