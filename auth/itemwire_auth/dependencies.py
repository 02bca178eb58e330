"""Gives FastAPI its view: what routes declare, and what an application overrides.

    Subscriber = Annotated[Grant, Security(permitted, scopes=["subscribe"])]

    @router.websocket("/items/{item_id}/ws")
    async def item_channel(websocket: WebSocket, grant: Subscriber) -> None: ...

    permitted ← authorize_item ← current_principal ← Authenticator

An application with rules of its own puts `app.dependency_overrides[authorize_item]`. Whatever it
returns, `permitted` still checks the actions the route asked for.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, FastAPI, HTTPException, WebSocketException, status
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from itemwire_auth.audit import log_refused
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.credentials import from_authorization, from_ticket
from itemwire_auth.errors import (
    AuthError,
    Forbidden,
    InvalidTicket,
    ItemInvalid,
    OriginDenied,
    ScopeMissing,
)
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.policies import Policy, TokenRights, shortfall
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action, is_item_id
from itemwire_auth.tickets import Tickets


@dataclass(frozen=True, slots=True)
class AuthState:
    """What the dependencies need of an application; it lives at `app.state.auth`."""

    authenticator: Authenticator
    policy: Policy
    cookie: SessionCookie = field(default_factory=SessionCookie)
    metrics_token: str | None = field(default=None, repr=False)


def install_auth(
    app: FastAPI,
    authenticator: Authenticator,
    policy: Policy | None = None,
    cookie: SessionCookie | None = None,
    metrics_token: str | None = None,
) -> None:
    """Make the dependencies of this module work in an application."""
    app.state.auth = AuthState(
        authenticator,
        policy or TokenRights(),
        cookie or SessionCookie(authenticator.cookie_name),
        metrics_token,
    )


def _state(connection: HTTPConnection) -> AuthState:
    # Plain reading and no dependency: FastAPI walks the whole tree of them at each handshake.
    state: AuthState = connection.app.state.auth
    return state


def _throttling(connection: HTTPConnection) -> Authenticator | None:
    """Find who counts refusals; a refusal may be made where none is installed, too."""
    app = connection.scope.get("app")
    state: AuthState | None = getattr(app.state, "auth", None) if app else None
    return state.authenticator if state else None


async def explain_to(
    connection: HTTPConnection, token: str, item_id: str | None, action: Action | None
) -> Decision:
    """Explain what this application's own rules decide of a token, for an operator's eyes."""
    state = _state(connection)
    verifier, revocations = state.authenticator.verifier, state.authenticator.revocations
    return await explain(verifier, state.policy, token, item_id, action, revocations=revocations)


def refusal(connection: HTTPConnection, error: AuthError) -> WebSocketException | HTTPException:
    """Log and count a refusal; give the exception that tells the client its code, no more.

    Its cause is the error, so whoever handles it can tell that it has been logged.
    """
    log_refused(connection, error)
    if (authenticator := _throttling(connection)) is not None:
        authenticator.count_refusal(connection, error)
    told = _told(connection, error)
    told.__cause__ = error
    return told


def _told(connection: HTTPConnection, error: AuthError) -> WebSocketException | HTTPException:
    if connection.scope["type"] == "websocket":
        return WebSocketException(error.close_code, error.code)
    # RFC 9110 section 15.5.2: a 401 must name the scheme that would be welcome.
    headers = (
        {"WWW-Authenticate": "Bearer"} if error.status == status.HTTP_401_UNAUTHORIZED else None
    )
    return HTTPException(error.status, error.code, headers)


async def refused(
    connection: HTTPConnection, error: AuthError
) -> WebSocketException | HTTPException:
    """Do what `refusal` does, later if this caller is refused often."""
    told = refusal(connection, error)
    if (authenticator := _throttling(connection)) is not None:
        await authenticator.hold_back(connection, error)
    return told


# Where a scope that the server itself has made says who is calling: verified when that began.
VERIFIED: Final = "itemwire.principal"


async def current_principal(connection: HTTPConnection) -> Principal:
    """Tell who is calling, or refuse."""
    verified: Principal | None = connection.scope.get(VERIFIED)
    if verified is not None:
        return verified
    try:
        return await _state(connection).authenticator.authenticate(connection)
    except AuthError as error:
        raise await refused(connection, error) from error


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]

# A browser sends a cookie by itself, and an address ends in logs: neither may administer.
ADMIN_SOURCES: Final = frozenset({"authorization"})


async def administrator(connection: HTTPConnection) -> Principal:
    """Tell who administers, or refuse: a bearer token with the scope word `admin` is needed."""
    try:
        principal = await _state(connection).authenticator.authenticate(connection, ADMIN_SOURCES)
        if not principal.rights.admin:
            raise ScopeMissing(f"{principal.subject!r} has no right to administer")
    except AuthError as error:
        raise await refused(connection, error) from error
    return principal


Administrator = Annotated[Principal, Depends(administrator)]


async def scraper(connection: HTTPConnection) -> None:
    """Refuse who does not send the metrics token; without one configured that is everybody."""
    state = _state(connection)
    try:
        if state.metrics_token is None:
            raise Forbidden("there is no metrics token")
        state.authenticator.check_secret(connection, state.metrics_token)
    except AuthError as error:
        raise await refused(connection, error) from error


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that was sent as such and holds, and whom it names."""

    token: str = field(repr=False)
    principal: Principal


async def sent_bearer(connection: HTTPConnection) -> Bearer:
    """Give the token of the Authorization header, or refuse; no other source is looked at.

    A browser adds the old session to the request that begins a new one, perhaps another user's.
    """
    state = _state(connection)
    try:
        principal = await state.authenticator.authenticate(connection, ["authorization"])
    except AuthError as error:
        raise await refused(connection, error) from error
    (token,) = from_authorization(connection, state.cookie.name)
    return Bearer(token, principal)


async def without_ticket(connection: HTTPConnection) -> None:
    """Refuse a ticket, unspent, where it is no credential."""
    if from_ticket(connection, ""):
        raise await refused(connection, InvalidTicket("a ticket is no credential for this"))


async def from_own_page(connection: HTTPConnection) -> None:
    """Refuse a page of an origin that may not use the cookie, whatever it presents."""
    if not _state(connection).authenticator.allows_origin(connection):
        raise await refused(
            connection, OriginDenied("a foreign page asked about the session cookie")
        )


def tickets_of(connection: HTTPConnection) -> Tickets:
    """Find what makes this application's tickets; it is installed with the authenticator."""
    tickets = _state(connection).authenticator.tickets
    if tickets is None:
        raise LookupError("the authenticator has no tickets: give it some to have this route")
    return tickets


def session_cookie_of(connection: HTTPConnection) -> SessionCookie:
    """Find how this application writes its session cookie."""
    return _state(connection).cookie


async def valid_item_id(
    connection: HTTPConnection, item_id: str, _principal: CurrentPrincipal
) -> str:
    """Give the item's id if it can be one; a stranger is refused before this is asked."""
    if not is_item_id(item_id):
        raise await refused(connection, ItemInvalid("not 1 to 128 of A-Z a-z 0-9 . _ ~ : -"))
    return item_id


ItemId = Annotated[str, Depends(valid_item_id)]


async def authorize_item(
    connection: HTTPConnection,
    item_id: ItemId,
    principal: CurrentPrincipal,
) -> Grant:
    """Work out what the caller may do with the item: the dependency an application overrides.

    An override returns a Grant, or refuses by raising an HTTPException, a WebSocketException or
    an AuthError (the application then needs a handler that puts it through `refusal`).
    """
    policy = _state(connection).policy
    try:
        return Grant(principal, item_id, await policy.authorize(principal, item_id))
    except AuthError as error:
        raise await refused(connection, error) from error


async def permitted(
    connection: HTTPConnection,
    required: SecurityScopes,
    _item_id: ItemId,  # ahead of the grant, so that no override meets an id that cannot be one
    grant: Annotated[Grant, Depends(authorize_item)],
) -> Grant:
    """Check the grant for the actions a route asks for; with none asked, any will do."""
    lacking = shortfall(grant, [Action(scope) for scope in required.scopes])
    if lacking is not None:
        raise await refused(connection, lacking)
    return grant


async def permitted_unaltered(connection: HTTPConnection, required: SecurityScopes) -> Grant:
    """Do what `permitted` and all below it do, where an application overrides none of it.

    The same calls in the same order, on a route with `item_id` in its path. FastAPI walks each of
    them as often as it is named, which takes a handshake 70 µs.
    """
    principal = await current_principal(connection)
    item_id = await valid_item_id(connection, connection.path_params["item_id"], principal)
    grant = await authorize_item(connection, item_id, principal)
    return await permitted(connection, required, item_id, grant)


# What stands for what, where nothing in a route's tree is overridden.
SHORT_CUTS: Final = {permitted: permitted_unaltered}


async def open_to_strangers() -> None:
    """Say of a route that whoever comes may use it, so that start-up does not warn of it."""


# A route that depends on none of these, however deep, lets strangers in and does not say so.
DOORS: Final = frozenset(
    {
        current_principal,
        permitted_unaltered,
        sent_bearer,
        administrator,
        scraper,
        open_to_strangers,
    }
)
