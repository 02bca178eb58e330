"""Finds out who is calling by a dependency of the host application, in place of a token."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from fastapi import status
from fastapi.exceptions import ValidationException
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from typing_extensions import override

from itemwire.application import application_of
from itemwire.authorization.asking import AskedCall
from itemwire.authorization.host_credentials import (
    credentials_of,
    show_credential,
    show_ticket,
    shows_credential,
)
from itemwire.authorization.inputs import NO_INPUTS, SHOWN_QUERY, Inputs, Presented, pack
from itemwire.authorization.solving import (
    NO_OVERRIDES,
    Dependant,
    inputs_of,
    needed_of_query,
)
from itemwire_auth.anonymous import anonymous_caller
from itemwire_auth.audit import log_authenticated
from itemwire_auth.authenticator import IDENTITY, Authenticator
from itemwire_auth.credentials import QUERY_NAME, TICKET_NAME, has_query_field
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import (
    AuthError,
    Forbidden,
    InvalidCredential,
    InvalidTicket,
    MissingCredential,
    OriginDenied,
    RevokedToken,
)
from itemwire_auth.principal import NO_EXPIRY, Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.state import auth_of

SOURCE: Final = "application"

NO_RIGHTS: Final = ScopeSet(is_of_token=False)

NOBODY: Final = frozenset({"", "credentials_missing", "credentials_invalid"})
"""The reasons with which a host's dependency closes the socket of somebody unknown."""

NEEDS_URL: Final = (
    "the dependency that `operator=` names needs {names} of the query, and nothing in a URL "
    "administers, because URLs end up in logs: let it find operators by a header or a cookie, and "
    "give what it reads of the query a default (or auto_error=False)"
)

UNAUTHENTICATED: Final = "Not authenticated"  # with 403 in FastAPI's schemes before 0.122


class HostUser:
    """What takes the place of `current_principal` in a host with users of its own.

    The checks that do not depend on who is calling come first: the throttle, and the origin of a
    page. Then `user`, a dependency of the host, is asked. It returns the host's user, an object
    with an `id` and perhaps `expires_at`; or a `Principal`.
    """

    def __init__(self, user: Callable[..., Any]) -> None:
        self._user = AskedCall(user)
        self._declared_by: Dependant | None = None
        self._declared: Inputs = NO_INPUTS

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
            if isinstance(error, MissingCredential | OriginDenied):  # nothing of its own was shown
                anonymous = anonymous_caller(connection)
                if anonymous is not None:
                    return anonymous
            raise await delayed_refusal(connection, error) from error

    async def _identify(self, connection: HTTPConnection) -> Principal:
        authenticator = auth_of(connection).authenticator
        authenticator.check_throttle(connection)
        declared = self._credentials(connection)
        owner = await show_ticket(connection, authenticator, declared)
        if owner is None:
            show_credential(connection, authenticator, declared)
        user = await self._ask(connection, declared)
        if user is None:
            anonymous = anonymous_caller(connection) if owner is None else None
            if anonymous is not None:  # whatever it has shown: to the host it is nobody
                return anonymous
            raise self._refuse(connection, declared)
        principal = admit(connection, user)
        if owner is not None and owner.identity != principal.identity:
            raise InvalidTicket("what its owner presented names another user by now")
        return principal

    def presented(self, connection: HTTPConnection) -> bytes:
        """Return what a request presents to the host, so that a ticket may stand for it.

        Raises ValueError if that is too large.
        """
        overrides = application_of(connection.scope).overrides
        inputs = inputs_of(self._user.under(overrides), (), overrides)
        declared = self._credentials(connection)
        headers = inputs.headers | declared.headers | {"authorization"}
        if inputs.whole:
            headers |= {"cookie"}
        kept = Inputs(headers, inputs.cookies | declared.cookies, declared.query)
        packed = pack(Presented.of(connection.scope, kept))
        if packed is None:
            raise ValueError("what names the caller is too large for a ticket")
        return packed

    async def _ask(self, connection: HTTPConnection, declared: Inputs) -> object:
        """Return the host's user; that the host knows none is a refusal, and counts as one."""
        overrides = application_of(connection.scope).overrides
        try:
            return await self._user.ask(connection, overrides)
        except (HTTPException, WebSocketException) as error:
            if _knows_nobody(error):
                raise _unknown(connection, declared) from error
            raise
        except ValidationException as error:
            refused = _of_invalid(error, connection, declared)
            if refused is None:
                raise
            raise refused from error

    def _refuse(self, connection: HTTPConnection, declared: Inputs) -> AuthError:
        """Return the refusal of a caller for whom the host's dependency has returned None."""
        return _unknown(connection, declared)

    def _credentials(self, connection: HTTPConnection) -> Inputs:
        """Return where the host looks for a credential."""
        dependant = self._user.under(application_of(connection.scope).overrides)
        if dependant is not self._declared_by:
            self._declared_by, self._declared = dependant, credentials_of(dependant)
        return self._declared


class HostOperator(HostUser):
    """What takes the place of `administrator` in a host that says itself who is an operator.

    Its dependency is asked at each request, and again after a body that was slow to come: nobody
    administers by what was true a while ago. Nothing in a URL administers, for URLs end up in logs,
    and any page can have a browser open one: the query is not shown to the dependency.

    Raises ValueError for a dependency that is not called without something in the query.
    """

    def __init__(self, operator: Callable[..., Any]) -> None:
        super().__init__(operator)
        needed = ", ".join(needed_of_query(self._user.under(NO_OVERRIDES)))
        if needed:
            raise ValueError(NEEDS_URL.format(names=needed))

    @override
    async def __call__(self, connection: HTTPConnection) -> Principal:
        try:
            in_urls = {QUERY_NAME, TICKET_NAME, *self._credentials(connection).query}
            if has_query_field(connection.scope, in_urls):
                raise InvalidCredential("a credential in a URL administers nothing")
            connection.scope[SHOWN_QUERY] = b""
            return await self._identify(connection)
        except AuthError as error:
            raise await delayed_refusal(connection, error) from error

    @override
    def _refuse(self, connection: HTTPConnection, declared: Inputs) -> AuthError:
        if shows_credential(connection, declared):
            return Forbidden("the application names no operator")
        return super()._refuse(connection, declared)


class HostWatcher(HostUser):
    """What takes the place of `watching_administrator` in a host with operators of its own.

    A page presents on a socket what a user's page does: a cookie, or a ticket for what its owner
    has presented. Nothing is changed there, so unlike `HostOperator` it may stand in the URL.
    """

    @override
    def _refuse(self, connection: HTTPConnection, declared: Inputs) -> AuthError:
        if shows_credential(connection, declared):
            return Forbidden("the application names no operator")
        return super()._refuse(connection, declared)


def _knows_nobody(error: HTTPException | WebSocketException) -> bool:
    """Return whether a host has said, by HTTP's word or a socket's, that it knows nobody."""
    if isinstance(error, HTTPException):
        is_unauthenticated = error.status_code == status.HTTP_401_UNAUTHORIZED
        return is_unauthenticated or error.detail == UNAUTHENTICATED
    return error.code == status.WS_1008_POLICY_VIOLATION and error.reason in NOBODY


def _of_invalid(
    error: ValidationException, connection: HTTPConnection, declared: Inputs
) -> AuthError | None:
    """Return the refusal of a caller whose credential is missing or has not the declared form.

    Return None where something else is not valid, or is missing beside a credential.
    """
    problems = error.errors()
    if not all(_is_of_credential(problem["loc"], declared) for problem in problems):
        return None
    only_lacks = all(problem["type"] == "missing" for problem in problems)
    if only_lacks and shows_credential(connection, declared):
        return None
    return _unknown(connection, declared)


def _is_of_credential(location: Sequence[object], declared: Inputs) -> bool:
    """Return whether FastAPI found a problem in what may name a caller."""
    names = {"header": declared.headers, "cookie": declared.cookies, "query": declared.query}
    place, *below = map(str, location)
    return any(name in names.get(place, ()) for name in below)


def _unknown(connection: HTTPConnection, declared: Inputs) -> AuthError:
    """Return the refusal of a caller that the host does not know."""
    if shows_credential(connection, declared):
        return InvalidCredential("the application knows no such user")
    return MissingCredential("the application asks for a credential")


def admit(connection: HTTPConnection, user: object) -> Principal:
    """Return a host's user as the caller of a request, or raise an AuthError."""
    authenticator = auth_of(connection).authenticator
    principal = principal_of(user, authenticator)
    connection.scope[IDENTITY] = principal.identity
    authenticator.check_throttle(connection)
    if authenticator.revocations.revokes(principal):
        raise RevokedToken(f"{principal.subject!r} was revoked", SOURCE)
    log_authenticated(connection, principal, SOURCE)
    return principal


def principal_of(user: object, authenticator: Authenticator) -> Principal:
    """Return a host's user as a caller, or raise an AuthError.

    Its rights are for the host's rules to say. Raises TypeError for a user without a usable id or
    with an expiry that is no moment.
    """
    now = authenticator.revocations.now()
    principal = user if isinstance(user, Principal) else _named(user, now)
    if now - principal.expires_at >= authenticator.leeway:
        raise InvalidCredential("the user's login has expired")
    return principal


def _named(user: object, now: float) -> Principal:
    expires_at = _expiry_of(_field(user, "expires_at"))
    return Principal(None, _subject_of(user), NO_RIGHTS, expires_at, issued_at=int(now))


def _subject_of(user: object) -> str:
    """Return the id of a user as text: it has to be the same text at every request."""
    found = _field(user, "id")
    kind = type(found)
    is_its_address = kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    if found is None or isinstance(found, bool | bytes) or is_its_address:
        raise TypeError(f"the user of the application has no id: {type(user).__name__}")
    subject = str(found)
    if not subject or not subject.isprintable():
        raise TypeError(f"the id of the user is no text that others can be told: {subject!r}")
    return subject


def _field(user: object, name: str) -> object:
    if isinstance(user, Mapping):
        return cast("Mapping[str, object]", user).get(name)
    return getattr(user, name, None)


def _expiry_of(value: object) -> int:
    """Return a Unix time in whole seconds; without one, a moment that never comes."""
    if value is None:
        return NO_EXPIRY
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("`expires_at` of the user has no time zone: give it one (UTC?)")
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("`expires_at` of the user is a datetime or a Unix time")
    if not 0 <= value <= NO_EXPIRY + 1:  # also for NaN
        raise ValueError("`expires_at` of the user is no Unix time in seconds; milliseconds?")
    return min(int(value), NO_EXPIRY)
