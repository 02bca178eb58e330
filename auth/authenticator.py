"""Runs all checks of a caller in their order, in one function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

from auth.audit import log_authenticated
from auth.credentials import Credential, find_credentials
from auth.errors import (
    AuthError,
    DisagreeingCredentials,
    InvalidToken,
    MissingCredential,
    NotNow,
    OriginDenied,
)
from auth.origins import OriginPolicy
from auth.principal import Principal
from auth.throttle import Caller, Throttle
from auth.tokens import TokenVerifier

# Where a connection's scope says who it is, for refusals of one who is known.
IDENTITY: Final = "itemwire.identity"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Find out who is calling."""

    verifier: TokenVerifier
    origins: OriginPolicy
    cookie_name: str = "session"
    throttle: Throttle = field(default_factory=Throttle)  # which by default stops nobody

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        """Tell who is calling, or raise an AuthError; every presented credential must hold."""
        self._check_throttle(connection)  # before anything is read or computed
        credentials = find_credentials(connection, self.cookie_name)
        if not credentials:
            raise MissingCredential("no source holds a credential")
        # Only a cookie is sent by the browser on its own: a foreign page can make it, and with it
        # the user's identity, travel (cross-site WebSocket hijacking, CWE-1385).
        if _has_cookie(credentials) and not self._allows_origin(connection):
            raise OriginDenied("a cookie came with an origin that is not allowed")
        principals = [self._verify(credential) for credential in credentials]
        if len({principal.identity for principal in principals}) > 1:
            raise DisagreeingCredentials("two sources name two callers")
        connection.scope[IDENTITY] = principals[0].identity
        self._check_throttle(connection)
        log_authenticated(connection, principals[0], credentials[0].source)
        return principals[0]

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

    def _allows_origin(self, connection: HTTPConnection) -> bool:
        """Ask the origin policy about this connection."""
        hosts = connection.headers.getlist("host")
        return self.origins.allows(
            connection.headers.getlist("origin"),
            scheme=connection.scope.get("scheme", ""),
            host=hosts[0] if len(hosts) == 1 else "",
        )

    def _verify(self, credential: Credential) -> Principal:
        """Verify one credential; a refusal says where it was found."""
        try:
            return self.verifier.verify(credential.value)
        except InvalidToken as error:
            error.source = credential.source
            raise


def _has_cookie(credentials: Sequence[Credential]) -> bool:
    """Tell whether a browser may have presented a credential on its own."""
    return any(credential.source == "cookie" for credential in credentials)
