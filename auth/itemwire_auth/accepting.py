"""Accepts sockets in an application without channels, and ends them when it is time.

@app.websocket("/ws")
async def echo(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    async with accept(websocket, principal) as socket:
        async for text in socket.iter_text(): ...
"""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI, WebSocket

from itemwire_auth.errors import AuthError
from itemwire_auth.handled_socket import accept_socket
from itemwire_auth.open_sockets import OpenSockets
from itemwire_auth.principal import Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.releasing import release
from itemwire_auth.revocation import Revocation
from itemwire_auth.state import AuthState, auth_of


@contextlib.asynccontextmanager
async def accept(
    websocket: WebSocket, principal: Principal, *, subprotocol: str | None = None
) -> AsyncGenerator[WebSocket]:
    """Accept a socket for a verified caller, and end it when the caller's login does.

        async with accept(websocket, principal) as socket:
            async for data in socket.iter_json():
                await socket.send_json(data)

    The socket is Starlette's. It ends when the token expires or is revoked, or the server stops;
    then the block ends, too. What the dependencies of the handler hold (`yield`) is closed before.

    A caller whose login has ended meanwhile is told so, and WebSocketException is raised. Raises
    LookupError without `install_auth`, and RuntimeError while the lifespan does not run.
    """
    sockets = _sockets_of(auth_of(websocket))
    try:
        sockets.check(principal)
    except AuthError as error:
        raise await delayed_refusal(websocket, error) from error
    await release(websocket)
    await accept_socket(websocket, (subprotocol,))
    with sockets.holding(websocket, principal) as handled:
        async with handled.running() as socket:
            yield socket


async def revoke(
    app: FastAPI,
    subject: str | None = None,
    *,
    token_id: str | None = None,
    session: str | None = None,
    issuer: str | None = None,
    issued_before: float | None = None,
) -> int:
    """Refuse a caller, one token or one login from now on; return how many sockets end.

    It holds in this process, for as long as the longest token lives. `issued_before`, a Unix time,
    spares what a subject was issued later, such as a new login.

    Raises ValueError unless exactly one of a subject, a token and a session is named, LookupError
    without `install_auth`, and RuntimeError while the lifespan does not run.
    """
    state = _state_of(app)
    sockets = _sockets_of(state)
    sockets.check_running()
    until = state.authenticator.revocations.end_of_life()
    return sockets.revoke(Revocation(until, token_id, subject, issuer, issued_before, session))


async def drain(app: FastAPI) -> None:
    """End all sockets with `draining`, and refuse new ones: the process is going away.

    A server of uvicorn's that stops needs no such call. Raises LookupError without `install_auth`,
    and RuntimeError while the lifespan does not run.
    """
    sockets = _sockets_of(_state_of(app))
    sockets.check_running()
    await sockets.drain()


def _state_of(app: FastAPI) -> AuthState:
    state: AuthState | None = getattr(app.state, "auth", None)
    if state is None:
        raise LookupError("no authenticator: call install_auth(app, authenticator) first")
    return state


def _sockets_of(state: AuthState) -> OpenSockets:
    if state.sockets is None:
        raise LookupError("no open sockets here: call install_auth(app, …), or use live.accept")
    return state.sockets
