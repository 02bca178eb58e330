"""Runs all checks of a caller in their order, in one function."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

from itemwire_auth.addresses import Caller
from itemwire_auth.audit import log_authenticated
from itemwire_auth.credentials import CREDENTIAL_SOURCES, Credential, find_credentials
from itemwire_auth.errors import (
    AuthError,
    DisagreeingCredentials,
    InvalidTicket,
    InvalidToken,
    MissingCredential,
    NotNow,
    OriginDenied,
    RevokedToken,
)
from itemwire_auth.keys.jwks import JWKSKeys, fetch_all, kept_fresh
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocations
from itemwire_auth.throttle import Throttle
from itemwire_auth.tickets import Tickets
from itemwire_auth.tokens.verifier import Verifier

# RFC 9110 section 9.2.1. A browser may leave Origin out of these; a handshake is a GET with one.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# W3C Fetch Metadata: asked by a page of ours, or by the user, who typed the address.
OWN_SITES: Final = frozenset({"same-origin", "none"})

# Where a connection's scope says who it is, for refusals of one who is known.
IDENTITY: Final = "itemwire.identity"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Find out who is calling."""

    verifier: Verifier
    origins: OriginPolicy
    cookie_name: str = "session"
    revocations: Revocations = field(default_factory=Revocations)
    tickets: Tickets | None = None
    query_tokens: bool = True
    fetched_keys: tuple[JWKSKeys, ...] = ()
    throttle: Throttle = field(default_factory=Throttle)  # which by default stops nobody

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the fetched keys fresh while a server runs: for its lifespan."""
        return kept_fresh(self.fetched_keys)

    async def fetch_keys(self) -> None:
        """Fetch the keys that are published elsewhere, for whoever runs no server."""
        await fetch_all(self.fetched_keys)

    async def authenticate(
        self, connection: HTTPConnection, sources: Collection[str] = CREDENTIAL_SOURCES
    ) -> Principal:
        """Tell who is calling, or raise an AuthError; every presented credential must hold.

        What is presented by a source that is not among `sources` is not looked at.
        """
        self._check_throttle(connection)  # before anything is read or computed
        credentials = find_credentials(connection, self.cookie_name, sources)
        if not credentials:
            raise MissingCredential("no source holds a credential")
        # Only a cookie is sent by the browser on its own: a foreign page can make it, and with it
        # the user's identity, travel (cross-site WebSocket hijacking, CWE-1385).
        if _has_cookie(credentials) and not self._may_use_cookie(connection):
            raise OriginDenied("a cookie came with an origin that is not allowed")
        # A ticket is spent as it is verified: last, when nothing presented beside it is bad.
        in_turn = sorted(credentials, key=lambda credential: credential.source == "ticket")
        verified = {one.source: await self._verify(one, connection) for one in in_turn}
        principals = [verified[credential.source] for credential in credentials]
        if len({principal.identity for principal in principals}) > 1:
            raise DisagreeingCredentials("two sources name two callers")
        connection.scope[IDENTITY] = principals[0].identity
        self._check_throttle(connection)
        # Last of the checks: who is told `token_revoked` has shown that the token was theirs.
        for principal, credential in zip(principals, credentials, strict=True):
            if self.revocations.revokes(principal):
                raise RevokedToken(f"of {principal.subject!r}, taken back", credential.source)
        log_authenticated(connection, principals[0], credentials[0].source)
        return principals[0]

    def check_secret(self, connection: HTTPConnection, secret: str) -> None:
        """Let in whoever sends this secret as a bearer token, or raise an AuthError."""
        self._check_throttle(connection)
        credentials = find_credentials(connection, self.cookie_name, ["authorization"])
        if not credentials:
            raise MissingCredential("no bearer token")
        # In constant time: how much of it was right is nobody's business (CWE-208).
        if not secrets.compare_digest(credentials[0].value.encode(), secret.encode()):
            raise InvalidToken("secret", "not the secret that is asked for here")

    def count_refusal(self, connection: HTTPConnection, error: AuthError) -> None:
        """Count a refusal: of a stranger by address, of one who is known by name."""
        self.throttle.count(self._caller(connection), error)

    async def hold_back(self, connection: HTTPConnection, error: AuthError) -> None:
        """Wait before a refusal is told, if its caller has had many."""
        if not isinstance(error, NotNow):
            await self.throttle.hold_back(self._caller(connection))

    def _check_throttle(self, connection: HTTPConnection) -> None:
        """Refuse who was refused too often; most servers need not even ask who it is."""
        if not self.throttle.is_calm:
            self.throttle.check(self._caller(connection))

    def _caller(self, connection: HTTPConnection) -> Caller | None:
        """Tell by what this caller is counted."""
        client = connection.client
        return self.throttle.caller(client.host if client else None, connection.scope.get(IDENTITY))

    def allows_origin(self, connection: HTTPConnection) -> bool:
        """Ask the origin policy about this connection; without an origin it is no browser's."""
        hosts = connection.headers.getlist("host")
        return self.origins.allows(
            connection.headers.getlist("origin"),
            scheme=connection.scope.get("scheme", ""),
            host=hosts[0] if len(hosts) == 1 else "",
        )

    def _may_use_cookie(self, connection: HTTPConnection) -> bool:
        """Ask about the origin; a request that changes something must have one (CSRF).

        A browser leaves it out of a page's other requests, of an image or a script too, and says by
        Sec-Fetch-Site where they come from. Who says nothing of either kind is no browser.
        """
        if "origin" in connection.headers:
            return self.allows_origin(connection)
        sites = connection.headers.getlist("sec-fetch-site")
        is_safe = connection.scope.get("method", "GET") in SAFE_METHODS
        return is_safe and OWN_SITES.issuperset(sites)

    async def _use_ticket(self, value: str, connection: HTTPConnection) -> Principal:
        """Spend a ticket at the item and from the origin it was presented at."""
        if self.tickets is None:
            raise InvalidTicket("this server makes no tickets")
        return await self.tickets.use(
            value,
            item_id=connection.path_params.get("item_id"),
            origins=connection.headers.getlist("origin"),
        )

    def _check_source(self, credential: Credential) -> None:
        """Refuse a token where only a ticket may stand."""
        if credential.source == "query" and not self.query_tokens:
            raise InvalidToken("source", "no token is taken from the query here")

    async def _verify(self, credential: Credential, connection: HTTPConnection) -> Principal:
        """Verify one credential; a refusal says where it was found."""
        if credential.source == "ticket":
            return await self._use_ticket(credential.value, connection)
        try:
            self._check_source(credential)
            return await self.verifier.verify_or_fetch(credential.value)
        except InvalidToken as error:
            error.source = credential.source
            raise


def _has_cookie(credentials: Sequence[Credential]) -> bool:
    """Tell whether a browser may have presented a credential on its own."""
    return any(credential.source == "cookie" for credential in credentials)
