"""Runs all checks of a caller in their order, in one function."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from auth.audit import log_authenticated
from auth.credentials import CREDENTIAL_SOURCES, Credential, find_credentials
from auth.errors import (
    DisagreeingCredentials,
    InvalidToken,
    MissingCredential,
    OriginDenied,
    RevokedToken,
)
from auth.origins import OriginPolicy
from auth.principal import Principal
from auth.revocation import Revocations
from auth.tokens import TokenVerifier


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Find out who is calling."""

    verifier: TokenVerifier
    origins: OriginPolicy
    cookie_name: str = "session"
    revocations: Revocations = field(default_factory=Revocations)

    async def authenticate(
        self, connection: HTTPConnection, sources: Collection[str] = CREDENTIAL_SOURCES
    ) -> Principal:
        """Tell who is calling, or raise an AuthError; every presented credential must hold.

        A credential of a source that is not among `sources` is none.
        """
        credentials = find_credentials(connection, self.cookie_name, sources)
        if not credentials:
            raise MissingCredential("no source holds a credential")
        # Only a cookie is sent by the browser on its own: a foreign page can make it, and with it
        # the user's identity, travel (cross-site WebSocket hijacking, CWE-1385).
        if _has_cookie(credentials) and not self._allows_origin(connection):
            raise OriginDenied("a cookie came with an origin that is not allowed")
        principals = [self._verify(credential) for credential in credentials]
        if len({principal.identity for principal in principals}) > 1:
            raise DisagreeingCredentials("two sources name two callers")
        # Last of the checks: who is told `token_revoked` has shown that the token was theirs.
        for principal, credential in zip(principals, credentials, strict=True):
            if self.revocations.revokes(principal):
                raise RevokedToken(f"of {principal.subject!r}, taken back", credential.source)
        log_authenticated(connection, principals[0], credentials[0].source)
        return principals[0]

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
