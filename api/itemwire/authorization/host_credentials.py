"""Chooses what a host's dependencies find of the credentials of a request.

A page of a foreign origin is believed only where it presents a credential that it must know
itself: a token, or the API key that the host declares in the query. What its browser, or a server
in front, has added to the request is hidden from the host then: a cookie, Basic, the name in a
client certificate (cross-site WebSocket hijacking, CWE-1385).
"""

from collections.abc import Collection, Sequence
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from itemwire.authorization.inputs import (
    SHOWN,
    SHOWN_QUERY,
    Headers,
    Inputs,
    shown_headers,
    shown_query,
    unpack,
    without_fields,
)
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.credentials import (
    TICKET_NAME,
    Credential,
    find_credentials,
    from_authorization,
    from_cookie,
)
from itemwire_auth.errors import (
    DisagreeingCredentials,
    DuplicateCredential,
    InvalidCredential,
    InvalidTicket,
    InvalidToken,
    OriginDenied,
)
from itemwire_auth.principal import Principal

EXPLICIT: Final = ("authorization", "subprotocol", "query")
"""Where a credential is that a page must add: the browser sends none of them by itself."""

IMPERSONAL: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"content-length",
        b"content-type",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"last-event-id",
        b"origin",
        b"referer",
        b"upgrade",
        b"user-agent",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-request-id",
    }
)
"""Headers that say who calls for nobody: all that is shown of a foreign page's request."""

IMPERSONAL_PREFIX: Final = b"sec-"  # of a handshake, and of Fetch Metadata


def show_credential(
    connection: HTTPConnection, authenticator: Authenticator, schemes: Inputs
) -> None:
    """Choose what the host's dependencies find; raise an AuthError if it would be nothing.

    A token in the query or in a subprotocol is shown as the `Authorization` header. An API
    key in the query, where one of the host's `schemes` reads it, is shown as it came.
    """
    token = _token_of(find_credentials(connection, "", EXPLICIT), authenticator)
    headers: Headers = connection.scope["headers"]
    _check_no_duplicate(connection, schemes)
    has_key = _presents_key(connection, schemes.query)
    if not authenticator.believes_browser(connection):
        if token is None and not has_key:
            raise OriginDenied("a page of a foreign origin presented no credential of its own")
        headers = impersonal(headers)
    if token is not None:
        headers = [(name, value) for name, value in headers if name != b"authorization"]
        headers.append((b"authorization", b"Bearer " + token))
    connection.scope[SHOWN] = headers


async def show_ticket(
    connection: HTTPConnection, authenticator: Authenticator, schemes: Inputs
) -> Principal | None:
    """Show the host what a ticket's owner presented, and return the owner.

    Return None for a request without a ticket. The ticket is spent. Nothing else that may name a
    caller is shown beside it.
    """
    presented = find_credentials(connection, "", ["ticket"])
    if not presented or presented[0].source != "ticket":  # a refresh has no ticket
        return None
    if find_credentials(connection, "", EXPLICIT) or _presents_key(connection, schemes.query):
        raise DisagreeingCredentials("a ticket came together with another credential")
    if authenticator.tickets is None:
        raise InvalidTicket("this server issues no tickets")
    redeemed = await authenticator.tickets.redeem(
        presented[0].value,
        item_id=connection.path_params.get("item_id"),
        origins=connection.headers.getlist("origin"),
    )
    if redeemed.credential is None:
        raise InvalidTicket("no credential was kept with it")
    kept = unpack(redeemed.credential)
    rest = without_fields(connection.scope["query_string"], {TICKET_NAME})
    connection.scope[SHOWN] = [*impersonal(connection.scope["headers"]), *kept.headers]
    connection.scope[SHOWN_QUERY] = b"&".join(filter(None, [rest, kept.query]))
    return redeemed.principal


def shows_credential(connection: HTTPConnection, schemes: Inputs) -> bool:
    """Return whether the host's dependencies find something that may name a caller."""
    shown = HTTPConnection({**connection.scope, "headers": shown_headers(connection.scope)})
    if schemes.is_empty:  # the host reads the request itself
        return "authorization" in shown.headers or "cookie" in shown.headers
    return (
        any(name in shown.headers for name in schemes.headers)
        or any(from_cookie(shown, name) for name in schemes.cookies)
        or _presents_key(connection, schemes.query)
    )


def presents_only_its_own(connection: HTTPConnection) -> bool:
    """Return whether no browser or proxy has added something that names a caller.

    What names the caller is then a bearer token, a subprotocol, or in the query.
    """
    headers: Headers = connection.scope["headers"]
    own = len(impersonal(headers)) + len(from_authorization(connection, ""))
    return own == len(headers)


def impersonal(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers without those by which a host may know a caller."""
    return [
        (name, value)
        for name, value in headers
        if name in IMPERSONAL or name.startswith(IMPERSONAL_PREFIX)
    ]


def _token_of(presented: Sequence[Credential], authenticator: Authenticator) -> bytes | None:
    values = {one.value for one in presented}
    if len(values) > 1:
        raise DisagreeingCredentials("two sources hold two tokens")
    if not values:
        return None
    if not authenticator.query_tokens and any(one.source == "query" for one in presented):
        raise InvalidToken("source", "tokens in the query are not accepted here")
    token = values.pop()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidCredential("it holds what no bearer token may hold (RFC 6750 section 2.1)")
    return token.encode()


def _check_no_duplicate(connection: HTTPConnection, schemes: Inputs) -> None:
    """Refuse a credential that comes twice.

    A server in front and the host may read different ones. A page of a sibling subdomain can add a
    cookie beside the one of the host.
    """
    for name in {"authorization", *schemes.headers}:
        if len(connection.headers.getlist(name)) > 1:
            raise DuplicateCredential(name)
    for name in schemes.cookies:
        if len(from_cookie(connection, name)) > 1:
            raise DuplicateCredential("cookie")


def _presents_key(connection: HTTPConnection, query_keys: Collection[str]) -> bool:
    if not query_keys:
        return False
    query = QueryParams(shown_query(connection.scope))
    counts = [len(query.getlist(name)) for name in query_keys]
    if any(count > 1 for count in counts):
        raise DuplicateCredential("query")
    return any(counts)
