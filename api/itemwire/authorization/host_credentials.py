"""Chooses what a host's dependencies find of the credentials of a request.

What names a caller to a host is what its dependency declares: the cookies, headers and query
parameters that it reads, by security schemes or by plain parameters. Headers that say who calls for
nobody are none of them.

A page of a foreign origin is believed only where it presents a credential that it must know
itself: a token, or the key that the host declares in the query. What its browser, or a server
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
    Presented,
    fields_of,
    shown_headers,
    shown_query,
    unpack,
    without_fields,
)
from itemwire.authorization.solving import (
    Dependant,
    has_scheme,
    named_by,
    takes_connection,
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
        b"cache-control",
        b"connection",
        b"content-length",
        b"content-type",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"last-event-id",
        b"origin",
        b"pragma",
        b"referer",
        b"traceparent",
        b"tracestate",
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


def credentials_of(dependant: Dependant) -> Inputs:
    """Return by what of a request a dependency of the host, and those below it, know a caller.

    `whole` says that they are given the request, and declare neither a scheme nor a cookie: then
    any cookie, and what is in `Authorization`, may name a caller, too.
    """
    named = named_by(dependant)
    headers = frozenset(name for name in named.headers if not _is_impersonal(name.encode()))
    reads_itself = takes_connection(dependant) and not (has_scheme(dependant) or named.cookies)
    return Inputs(headers, named.cookies, named.query, reads_itself)


def show_credential(
    connection: HTTPConnection, authenticator: Authenticator, declared: Inputs
) -> None:
    """Choose what the host's dependencies find; raise an AuthError if it would be nothing.

    A token in the query or in a subprotocol is shown as the `Authorization` header. An API
    key in the query, where the host has `declared` it, is shown as it came.
    """
    token = _token_of(find_credentials(connection, "", EXPLICIT), authenticator)
    headers: Headers = connection.scope["headers"]
    _check_no_duplicate(connection, declared)
    has_key = _presents_key(connection, declared.query)
    if not authenticator.believes_browser(connection):
        headers = impersonal(headers)
        if token is None and not has_key:
            connection.scope[SHOWN] = headers  # it may still come in as nobody
            raise OriginDenied("a page of a foreign origin presented no credential of its own")
    if token is not None:
        headers = [(name, value) for name, value in headers if name != b"authorization"]
        headers.append((b"authorization", b"Bearer " + token))
    connection.scope[SHOWN] = headers


async def show_ticket(
    connection: HTTPConnection, authenticator: Authenticator, declared: Inputs
) -> Principal | None:
    """Show the host what a ticket's owner presented, and return the owner.

    Return None for a request without a ticket. The ticket is spent. Nothing else that may name a
    caller is shown beside it.
    """
    if not connection.scope.get("query_string"):  # as most
        return None
    presented = find_credentials(connection, "", ["ticket"])
    if not presented or presented[0].source != "ticket":  # a refresh has no ticket
        return None
    if find_credentials(connection, "", EXPLICIT):
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
    query: bytes = connection.scope["query_string"]
    rest = without_fields(query, {TICKET_NAME, *declared.query})
    beside = Presented.of({"query_string": query, "headers": []}, Inputs(query=declared.query))
    if not set(fields_of(beside.query)).issubset(fields_of(kept.query)):
        raise DisagreeingCredentials("a ticket came together with another credential")
    connection.scope[SHOWN] = [*impersonal(connection.scope["headers"]), *kept.headers]
    connection.scope[SHOWN_QUERY] = b"&".join(filter(None, [rest, kept.query]))
    return redeemed.principal


def shows_credential(connection: HTTPConnection, declared: Inputs) -> bool:
    """Return whether the host's dependencies find something that may name a caller."""
    shown = HTTPConnection({**connection.scope, "headers": shown_headers(connection.scope)})
    if declared.whole and ("authorization" in shown.headers or "cookie" in shown.headers):
        return True
    return (
        any(name in shown.headers for name in declared.headers)
        or any(from_cookie(shown, name) for name in declared.cookies)
        or _presents_key(connection, declared.query)
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
    return [(name, value) for name, value in headers if _is_impersonal(name)]


def _is_impersonal(name: bytes) -> bool:
    return name in IMPERSONAL or name.startswith(IMPERSONAL_PREFIX)


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


def _check_no_duplicate(connection: HTTPConnection, declared: Inputs) -> None:
    """Refuse a credential that comes twice.

    A server in front and the host may read different ones. A page of a sibling subdomain can add a
    cookie beside the one of the host.
    """
    for name in {"authorization", *declared.headers}:
        if len(connection.headers.getlist(name)) > 1:
            raise DuplicateCredential(name)
    for name in declared.cookies:
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
