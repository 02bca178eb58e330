"""Finds out who is calling by a dependency of the host application, in place of a token."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

from fastapi import HTTPException, status
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection

from itemwire.application import application_of
from itemwire.authorization.asking import AskedCall
from itemwire.authorization.inputs import SHOWN
from itemwire_auth.audit import log_authenticated
from itemwire_auth.authenticator import IDENTITY, Authenticator
from itemwire_auth.credentials import find_credentials
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import (
    AuthError,
    DisagreeingCredentials,
    InvalidCredential,
    MissingCredential,
    OriginDenied,
    RevokedToken,
)
from itemwire_auth.principal import NO_EXPIRY, Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.state import auth_of

logger = logging.getLogger("itemwire.refusals")

EXPLICIT: Final = ("authorization", "subprotocol", "query")
"""Where a credential is that a page must add: the browser sends none of them by itself."""

SOURCE: Final = "application"

NO_RIGHTS: Final = ScopeSet()


class HostUser:
    """What takes the place of `current_principal` in a host with users of its own.

    The checks that do not depend on who is calling come first: the throttle, and the origin of a
    page. Then `user`, a dependency of the host, is asked. It returns the host's user, an object
    with an `id` and perhaps `expires_at`; or a `Principal`.
    """

    def __init__(self, user: Callable[..., Any]) -> None:
        self._user = AskedCall(user)

    def asked(self) -> Iterable[AskedCall]:
        """Return the function of the host that it asks."""
        return [self._user]

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Return who is calling, or refuse."""
        verified: Principal | None = connection.scope.get(VERIFIED)
        if verified is not None:
            return verified
        try:
            return await self._identify(connection)
        except AuthError as error:
            raise await delayed_refusal(connection, error) from error

    async def _identify(self, connection: HTTPConnection) -> Principal:
        authenticator = auth_of(connection).authenticator
        authenticator.check_throttle(connection)
        _show_credential(connection, authenticator)
        principal = _principal_of(await self._ask(connection), authenticator.revocations.now())
        connection.scope[IDENTITY] = principal.identity
        authenticator.check_throttle(connection)
        if authenticator.revocations.revokes(principal):
            raise RevokedToken(f"{principal.subject!r} was revoked", SOURCE)
        log_authenticated(connection, principal, SOURCE)
        return principal

    async def _ask(self, connection: HTTPConnection) -> object:
        """Return the host's user; what the host refuses with 401 or 1008 counts as a refusal."""
        overrides = application_of(connection.scope).dependency_overrides
        try:
            return await self._user.ask(connection, overrides)
        except HTTPException as error:
            if error.status_code != status.HTTP_401_UNAUTHORIZED:
                raise
            _refuse_stranger(connection, error)
        except WebSocketException as error:
            if error.code != status.WS_1008_POLICY_VIOLATION or error.reason:
                raise
            _refuse_stranger(connection, error)


def _show_credential(connection: HTTPConnection, authenticator: Authenticator) -> None:
    """Choose what the host's dependencies find of the credentials of a request.

    A token in the query or in a subprotocol is shown as the `Authorization` header. A page of a
    foreign origin is believed only where it presents a token: what its browser has added by itself
    is hidden then (cross-site WebSocket hijacking, CWE-1385).
    """
    presented = {one.value for one in find_credentials(connection, "", EXPLICIT)}
    if len(presented) > 1:
        raise DisagreeingCredentials("two sources hold two tokens")
    is_own_page = authenticator.believes_browser(connection)
    if not presented and not is_own_page:
        raise OriginDenied("a page of a foreign origin presented no token")
    headers: list[tuple[bytes, bytes]] = connection.scope["headers"]
    if presented:
        bearer = b"Bearer " + presented.pop().encode("utf-8", "surrogatepass")
        headers = [(name, value) for name, value in headers if name != b"authorization"]
        headers.append((b"authorization", bearer))
    if not is_own_page:
        headers = [(name, value) for name, value in headers if name != b"cookie"]
    connection.scope[SHOWN] = headers


def _refuse_stranger(connection: HTTPConnection, error: Exception) -> NoReturn:
    """Raise that the host knows no caller by what the request presents, if anything."""
    headers: list[tuple[bytes, bytes]] = connection.scope[SHOWN]
    if any(name in {b"authorization", b"cookie"} for name, _ in headers):
        raise InvalidCredential("the application knows no such user") from error
    raise MissingCredential("the application asks for a credential") from error


def _principal_of(user: object, now: float) -> Principal:
    """Return a host's user as a caller, or raise an AuthError.

    Its rights are for the host's rules to say. Raises TypeError for a user that has no id.
    """
    if isinstance(user, Principal):
        return user
    if user is None:
        raise MissingCredential("the application names no user")
    subject = _field(user, "id")
    if not isinstance(subject, int | str) or isinstance(subject, bool):
        subject = str(subject) if subject is not None else ""
    if subject == "":
        raise TypeError(f"the user of the application has no id: {type(user).__name__}")
    expires_at = _expiry_of(_field(user, "expires_at"))
    if expires_at <= now:
        raise InvalidCredential("the user's login has expired")
    return Principal(None, str(subject), NO_RIGHTS, expires_at, issued_at=int(now))


def _field(user: object, name: str) -> object:
    return user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)


def _expiry_of(value: object) -> int:
    """Return a Unix time in whole seconds; without one, a moment that never comes."""
    if value is None:
        return NO_EXPIRY
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("`expires_at` of the user has no time zone")
        return int(value.timestamp())
    if isinstance(value, int | float):
        return int(value)
    raise TypeError("`expires_at` of the user is a datetime or a Unix time")
