"""Turns the reason for a refusal into what the client is told, the log and the counts."""

from __future__ import annotations

from fastapi import HTTPException, WebSocketException, status
from starlette.requests import HTTPConnection

from itemwire_auth.audit import log_refused
from itemwire_auth.errors import AuthError
from itemwire_auth.state import installed_authenticator


def refusal(connection: HTTPConnection, error: AuthError) -> WebSocketException | HTTPException:
    """Log and count a refusal; return the exception that tells the client its code, no more.

    The cause of that exception is the error, so its handler knows that it has been logged.
    """
    log_refused(connection, error)
    if (authenticator := installed_authenticator(connection)) is not None:
        authenticator.count_refusal(connection, error)
    exception = _exception_for(connection, error)
    exception.__cause__ = error
    return exception


async def delayed_refusal(
    connection: HTTPConnection, error: AuthError
) -> WebSocketException | HTTPException:
    """Return what `refusal` returns, after a delay if this caller is refused often."""
    exception = refusal(connection, error)
    if (authenticator := installed_authenticator(connection)) is not None:
        await authenticator.hold_back(connection, error)
    return exception


def _exception_for(
    connection: HTTPConnection, error: AuthError
) -> WebSocketException | HTTPException:
    """Return a close of the handshake on a WebSocket, a response with a status elsewhere."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(error.close_code, error.code)
    # RFC 9110 section 15.5.2: a 401 must name a scheme that the server accepts.
    is_challenge = error.status == status.HTTP_401_UNAUTHORIZED
    headers = {"WWW-Authenticate": "Bearer"} if is_challenge else None
    return HTTPException(error.status, error.code, headers)
