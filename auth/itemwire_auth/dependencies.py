"""The dependencies that routes declare, and the one that an application overrides.

    Subscriber = Annotated[Grant, Security(permitted, scopes=["subscribe"])]

    @router.websocket("/items/{item_id}/ws")
    async def item_channel(websocket: WebSocket, grant: Subscriber) -> None: ...

    permitted ← authorize_item ← valid_item_id ← current_principal ← Authenticator

An application with rules of its own sets `app.dependency_overrides[authorize_item]`. Whatever
the override returns, `permitted` still checks the actions that the route asks for.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, cast

from fastapi import Depends
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from itemwire_auth.anonymous import anonymous_caller, is_public
from itemwire_auth.credentials import (
    CREDENTIAL_SOURCES,
    find_credentials,
    from_authorization,
    from_ticket,
)
from itemwire_auth.errors import (
    AuthError,
    Forbidden,
    InvalidTicket,
    ItemInvalid,
    MissingCredential,
    OriginDenied,
)
from itemwire_auth.policies import shortfall
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.scopes import ITEM_ID_RULE, Action, is_item_id
from itemwire_auth.state import auth_of

Seams = Mapping[Callable[..., Any], Callable[..., Any]]
"""What an application itself calls in place of each dependency, with the same arguments."""

# Where a scope that the server itself has made names the caller, who was verified before.
VERIFIED: Final = "itemwire.principal"

PUBLIC: Final = frozenset({Action.SUBSCRIBE})


async def current_principal(connection: HTTPConnection) -> Principal:
    """Return the verified caller, or refuse."""
    verified: Principal | None = connection.scope.get(VERIFIED)
    if verified is not None:
        return verified
    try:
        return await auth_of(connection).authenticator.authenticate(connection)
    except AuthError as error:
        if isinstance(error, MissingCredential) or _is_of_cookie_alone(connection, error):
            anonymous = anonymous_caller(connection)
            if anonymous is not None:
                return anonymous
        raise await delayed_refusal(connection, error) from error


def _is_of_cookie_alone(connection: HTTPConnection, error: AuthError) -> bool:
    """Return whether a foreign page presented nothing, and its browser has added the cookie."""
    others = CREDENTIAL_SOURCES.keys() - {"cookie"}
    return isinstance(error, OriginDenied) and not find_credentials(connection, "", others)


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


async def valid_item_id(
    connection: HTTPConnection, item_id: str, principal: CurrentPrincipal
) -> str:
    """Return the item's id, or refuse; a caller that is not verified is refused before this."""
    if not is_item_id(item_id):
        raise await delayed_refusal(connection, ItemInvalid(ITEM_ID_RULE))
    if principal.is_anonymous and not is_public(connection, item_id):
        raise await delayed_refusal(connection, MissingCredential(f"{item_id!r} is not public"))
    return item_id


ItemId = Annotated[str, Depends(valid_item_id)]


async def authorize_item(
    connection: HTTPConnection, item_id: ItemId, principal: CurrentPrincipal
) -> Grant:
    """Return what the caller may do with the item: the dependency an application overrides.

    An override returns a Grant, or refuses by raising an HTTPException, a WebSocketException or
    an AuthError (the application then needs an exception handler that calls `refusal`).
    """
    auth = auth_of(connection)
    try:
        actions = await auth.policy.authorize(principal, item_id)
        return Grant(principal, item_id, actions, auth.info_claims.info_of(principal.claims))
    except AuthError as error:
        raise await delayed_refusal(connection, error) from error


async def permitted(
    connection: HTTPConnection,
    required: SecurityScopes,
    item_id: ItemId,  # before the grant, so that no override is called with an invalid item id
    principal: CurrentPrincipal,
    grant: Annotated[Grant, Depends(authorize_item)],
) -> Grant:
    """Return the grant if it has every action that the route asks for, or refuse.

    A route that asks for no action needs a grant with any action in it. A grant for another item
    or another caller, which an override may return, is refused as `forbidden`. Whatever is
    granted to a caller without a credential, it is no more than to subscribe.
    """
    if not isinstance(cast("object", grant), Grant):  # an override may return anything
        raise TypeError("authorize_item has returned no Grant")
    if not grant.fits(item_id, principal.identity):
        raise await delayed_refusal(connection, Forbidden(f"the grant is not for {item_id!r}"))
    lacking = shortfall(grant, [Action(scope) for scope in required.scopes])
    if lacking is not None:
        raise await delayed_refusal(connection, lacking)
    return replace(grant, can=grant.can & PUBLIC) if principal.is_anonymous else grant


def permitted_at_once(seams: Seams) -> Callable[..., Awaitable[Grant]]:
    """Make a dependency that does in one call what `permitted` and those below it do.

    It calls them in the same order, each with what stands in its place in `seams`. It is for a
    route with `item_id` in its path. FastAPI visits a dependency once for each dependency that
    names it, which costs a handshake 70 µs.
    """
    identify = seams.get(current_principal, current_principal)
    authorize = seams.get(authorize_item, authorize_item)

    async def permitted_in_a_row(connection: HTTPConnection, required: SecurityScopes) -> Grant:
        principal = await identify(connection)
        item_id = await valid_item_id(connection, connection.path_params["item_id"], principal)
        grant = await authorize(connection, item_id, principal)
        return await permitted(connection, required, item_id, principal, grant)

    return permitted_in_a_row


# A dependency, and what makes the one that may take its place.
SHORT_CUTS: Final = {permitted: permitted_at_once}


async def administrator(connection: HTTPConnection) -> Principal:
    """Return the verified administrator, or refuse; only a bearer token with `admin` counts."""
    try:
        return await auth_of(connection).authenticator.authenticate_administrator(connection)
    except AuthError as error:
        raise await delayed_refusal(connection, error) from error


Administrator = Annotated[Principal, Depends(administrator)]


async def watching_administrator(connection: HTTPConnection) -> Principal:
    """Return the verified administrator who opens a socket that only shows, or refuse.

    A page cannot set a header of a handshake, so whatever opens an item's socket counts: a ticket,
    or a cookie where the origin is allowed.
    """
    authenticator = auth_of(connection).authenticator
    try:
        return await authenticator.authenticate_administrator(connection, CREDENTIAL_SOURCES)
    except AuthError as error:
        raise await delayed_refusal(connection, error) from error


WatchingAdministrator = Annotated[Principal, Depends(watching_administrator)]


async def scraper(connection: HTTPConnection) -> None:
    """Refuse a caller without the metrics token; if none is configured, every caller."""
    state = auth_of(connection)
    try:
        state.authenticator.check_bearer_secret(connection, state.metrics_token)
    except AuthError as error:
        raise await delayed_refusal(connection, error) from error


@dataclass(frozen=True, slots=True)
class Bearer:
    """A verified token from the Authorization header, and the caller it names."""

    token: str = field(repr=False)
    principal: Principal


async def sent_bearer(connection: HTTPConnection) -> Bearer:
    """Return the verified token of the Authorization header, or refuse.

    No other source is read: to the request that begins a new session a browser adds the cookie
    of the old one, which may be another user's.
    """
    state = auth_of(connection)
    try:
        principal = await state.authenticator.authenticate(connection, ["authorization"])
    except AuthError as error:
        raise await delayed_refusal(connection, error) from error
    (token,) = from_authorization(connection, state.cookie.name)
    return Bearer(token, principal)


async def without_ticket(connection: HTTPConnection) -> None:
    """Refuse a request with a ticket, and do not spend it: here a ticket is no credential."""
    if from_ticket(connection, ""):
        raise await delayed_refusal(connection, InvalidTicket("a ticket is no credential here"))


async def from_own_page(connection: HTTPConnection) -> None:
    """Refuse a page whose origin may not use the cookie, whatever credential it presents."""
    if not auth_of(connection).authenticator.allows_origin(connection):
        raise await delayed_refusal(
            connection, OriginDenied("a page of a foreign origin asked for the session cookie")
        )


async def open_to_strangers() -> None:
    """Declare that everybody may use a route, so that start-up does not warn about it."""


# A route that depends on none of these, directly or not, is open to everybody by mistake.
GUARDS: Final = frozenset(
    {
        current_principal,
        sent_bearer,
        administrator,
        watching_administrator,
        scraper,
        open_to_strangers,
    }
)
