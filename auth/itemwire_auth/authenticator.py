"""Runs every check of a caller, in order, in one function."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

from itemwire_auth.addresses import Caller, client_host
from itemwire_auth.audit import log_authenticated
from itemwire_auth.credentials import CREDENTIAL_SOURCES, Credential, find_credentials
from itemwire_auth.errors import (
    AuthError,
    DisagreeingCredentials,
    Forbidden,
    InvalidTicket,
    InvalidToken,
    MissingCredential,
    NotNow,
    OriginDenied,
    RevokedToken,
    ScopeMissing,
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

# W3C Fetch Metadata: requested by a page of ours, or by the user, who typed the address.
OWN_SITES: Final = frozenset({"same-origin", "none"})

# A browser sends a cookie by itself, and a URL ends up in logs: neither may administer.
ADMIN_SOURCES: Final = frozenset({"authorization"})

# The key in a connection's scope under which its verified identity stands: the refusals of a
# verified caller are counted by identity, those of all others by address.
IDENTITY: Final = "itemwire.identity"

# The key under which a scope says that the server itself asks about a caller, who did nothing: a
# refusal is not counted then.
RECHECK: Final = "itemwire.recheck"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Finds out who is calling."""

    verifier: Verifier
    origins: OriginPolicy
    cookie_name: str = "session"
    revocations: Revocations = field(default_factory=Revocations)
    tickets: Tickets | None = None
    query_tokens: bool = True
    fetched_keys: tuple[JWKSKeys, ...] = ()
    throttle: Throttle = field(default_factory=Throttle)  # by default it stops nobody
    leeway: float = 0  # seconds by which a token outlives its `exp`, as in its checks

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return a context that keeps fetched keys fresh: enter it in the server's lifespan."""
        return kept_fresh(self.fetched_keys)

    @property
    def can_judge(self) -> bool:
        """Return whether there is any key: until an issuer answers, no token can be judged."""
        return self.verifier.has_keys

    @property
    def lacks_an_issuer(self) -> bool:
        """Return whether an issuer has given no key yet: its tokens alone are refused for now."""
        return self.can_judge and self.verifier.lacks_keys

    async def fetch_keys(self) -> None:
        """Fetch the published keys once, for programs that run no server."""
        await fetch_all(self.fetched_keys)

    async def authenticate(
        self, connection: HTTPConnection, sources: Collection[str] = CREDENTIAL_SOURCES
    ) -> Principal:
        """Return who is calling, or raise an AuthError; every presented credential must hold.

        A credential from a source that is not among `sources` is not read.
        """
        self.check_throttle(connection)  # before anything is read or computed
        credentials = find_credentials(connection, self.cookie_name, sources)
        if not credentials:
            raise MissingCredential("no source holds a credential")
        # Only a cookie is sent by the browser on its own: a foreign page can make it travel, and
        # the user's identity with it (cross-site WebSocket hijacking, CWE-1385).
        if _has_cookie(credentials) and not self._may_use_cookie(connection):
            raise OriginDenied("a cookie came with an origin that is not allowed")
        # Verifying a ticket spends it: last, when no credential beside it is bad.
        in_turn = sorted(credentials, key=lambda credential: credential.source == "ticket")
        verified = {one.source: await self._verify(one, connection) for one in in_turn}
        principals = [verified[credential.source] for credential in credentials]
        if len({principal.identity for principal in principals}) > 1:
            raise DisagreeingCredentials("two sources name two callers")
        connection.scope[IDENTITY] = principals[0].identity
        self.check_throttle(connection)
        # The last check: a caller that is told `token_revoked` has proved that the token is theirs.
        for principal, credential in zip(principals, credentials, strict=True):
            if self.revocations.revokes(principal):
                problem = f"the token of {principal.subject!r} was revoked"
                raise RevokedToken(problem, credential.source)
        log_authenticated(connection, principals[0], credentials[0].source)
        return principals[0]

    async def authenticate_administrator(
        self, connection: HTTPConnection, sources: Collection[str] = ADMIN_SOURCES
    ) -> Principal:
        """Return the administrator who is calling, or raise an AuthError.

        An administrator has a bearer token whose scope holds the word `admin`. Only who changes
        nothing, and looks on from a page, may present it in another way.
        """
        principal = await self.authenticate(connection, sources)
        if not principal.rights.admin:
            raise ScopeMissing(f"{principal.subject!r} has no right to administer")
        return principal

    def check_still_valid(self, principal: Principal) -> None:
        """Accept a caller that was accepted before, or raise an AuthError.

        The token may have expired or been revoked since, for example while the body of its
        request was on its way.
        """
        if self.revocations.now() - principal.expires_at >= self.leeway:
            raise InvalidToken("expiry", f"the token of {principal.subject!r} expired meanwhile")
        if self.revocations.revokes(principal):
            raise RevokedToken(f"the token of {principal.subject!r} was revoked meanwhile", "body")

    def check_bearer_secret(self, connection: HTTPConnection, secret: str | None) -> None:
        """Accept a caller whose bearer token is this secret, or raise an AuthError.

        Without a secret nobody is accepted.
        """
        if secret is None:
            raise Forbidden("no secret is configured for this")
        self.check_throttle(connection)
        credentials = find_credentials(connection, self.cookie_name, ["authorization"])
        if not credentials:
            raise MissingCredential("no bearer token")
        # In constant time: the duration must not tell how much of it was right (CWE-208).
        if not secrets.compare_digest(credentials[0].value.encode(), secret.encode()):
            raise InvalidToken("secret", "it is not the secret that is configured for this")

    def count_refusal(self, connection: HTTPConnection, error: AuthError) -> None:
        """Count a refusal, by the identity of a verified caller or else by address."""
        self.throttle.count(self._caller(connection), error)

    async def hold_back(self, connection: HTTPConnection, error: AuthError) -> None:
        """Wait before a caller that is refused often is told of a refusal."""
        if not isinstance(error, NotNow):
            await self.throttle.hold_back(self._caller(connection))

    def allows_origin(self, connection: HTTPConnection) -> bool:
        """Return whether this connection's origin may use the cookie; no browser, no origin."""
        hosts = connection.headers.getlist("host")
        return self.origins.allows(
            connection.headers.getlist("origin"),
            scheme=connection.scope.get("scheme", ""),
            host=hosts[0] if len(hosts) == 1 else "",
        )

    def check_throttle(self, connection: HTTPConnection) -> None:
        """Refuse a caller that was refused too often."""
        if not self.throttle.is_calm:  # most servers need not even look at the address
            self.throttle.check(self._caller(connection))

    def _caller(self, connection: HTTPConnection) -> Caller | None:
        """Return what this caller's refusals are counted by."""
        scope = connection.scope
        if RECHECK in scope:
            return None
        return self.throttle.caller(client_host(scope), scope.get(IDENTITY))

    def believes_browser(self, connection: HTTPConnection) -> bool:
        """Return whether what a browser has added to a request by itself speaks for its user.

        For applications that find their callers themselves, by whatever a request may hold. A
        request with neither Origin, Sec-Fetch-Site nor a cookie comes from no browser.
        """
        headers = connection.headers
        if "cookie" in headers or "origin" in headers or "sec-fetch-site" in headers:
            return self._may_use_cookie(connection)
        return True

    def _may_use_cookie(self, connection: HTTPConnection) -> bool:
        """Return whether a cookie counts, against cross-site request forgery (CSRF).

        A request that changes something needs an allowed Origin. A browser leaves Origin out of a
        page's other requests, of an image or a script too, and says in Sec-Fetch-Site where they
        come from. A client that sends neither is no browser.
        """
        if "origin" in connection.headers:
            return self.allows_origin(connection)
        sites = connection.headers.getlist("sec-fetch-site")
        is_safe = connection.scope.get("method", "GET") in SAFE_METHODS
        return is_safe and OWN_SITES.issuperset(sites)

    async def _verify(self, credential: Credential, connection: HTTPConnection) -> Principal:
        """Verify one credential; the error of a refusal says where it was found."""
        if credential.source == "ticket":
            return await self._use_ticket(credential.value, connection)
        try:
            self._check_source(credential)
            return await self.verifier.verify_or_fetch(credential.value)
        except InvalidToken as error:
            error.source = credential.source
            raise

    async def _use_ticket(self, value: str, connection: HTTPConnection) -> Principal:
        """Spend a ticket for the item and the origin that it is presented with."""
        if self.tickets is None:
            raise InvalidTicket("this server issues no tickets")
        return await self.tickets.use(
            value,
            item_id=connection.path_params.get("item_id"),
            origins=connection.headers.getlist("origin"),
        )

    def _check_source(self, credential: Credential) -> None:
        """Refuse a token in the query where only a ticket is accepted there."""
        if credential.source == "query" and not self.query_tokens:
            raise InvalidToken("source", "tokens in the query are not accepted here")


def _has_cookie(credentials: Sequence[Credential]) -> bool:
    """Return whether one of the credentials may have been sent by a browser on its own."""
    return "cookie" in [credential.source for credential in credentials]
