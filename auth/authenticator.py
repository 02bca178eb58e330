"""Runs all checks of a caller in their order, in one function."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from auth.audit import log_authenticated
from auth.credentials import Credential, find_credentials
from auth.errors import DisagreeingCredentials, InvalidToken, MissingCredential, OriginDenied
from auth.jwks import JWKSKeys, fetch_all, kept_fresh
from auth.origins import OriginPolicy
from auth.principal import Principal
from auth.tokens import Verifier


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Find out who is calling."""

    verifier: Verifier
    origins: OriginPolicy
    cookie_name: str = "session"
    fetched_keys: tuple[JWKSKeys, ...] = ()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the fetched keys fresh while a server runs: for its lifespan."""
        return kept_fresh(self.fetched_keys)

    async def fetch_keys(self) -> None:
        """Fetch the keys that are published elsewhere, for whoever runs no server."""
        await fetch_all(self.fetched_keys)

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        """Tell who is calling, or raise an AuthError; every presented credential must hold."""
        credentials = find_credentials(connection, self.cookie_name)
        if not credentials:
            raise MissingCredential("no source holds a credential")
        # Only a cookie is sent by the browser on its own: a foreign page can make it, and with it
        # the user's identity, travel (cross-site WebSocket hijacking, CWE-1385).
        if _has_cookie(credentials) and not self._allows_origin(connection):
            raise OriginDenied("a cookie came with an origin that is not allowed")
        principals = [await self._verify(credential) for credential in credentials]
        if len({principal.identity for principal in principals}) > 1:
            raise DisagreeingCredentials("two sources name two callers")
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

    async def _verify(self, credential: Credential) -> Principal:
        """Verify one credential; a refusal says where it was found."""
        try:
            return await self.verifier.verify_or_fetch(credential.value)
        except InvalidToken as error:
            error.source = credential.source
            raise


def _has_cookie(credentials: Sequence[Credential]) -> bool:
    """Tell whether a browser may have presented a credential on its own."""
    return any(credential.source == "cookie" for credential in credentials)
