"""Forges tokens in the likeness of a good one, where the application's key is not known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from typing_extensions import override

from itemwire_auth.keys.algorithms import ALGORITHMS, SigningKey
from itemwire_auth.strict_json import parse_object
from itemwire_auth.testing.factory import TokenFactory, present
from itemwire_auth.testing.keys import signing_key
from itemwire_auth.tokens.parsed_token import decode


def _own_key() -> SigningKey:
    """Return a key that no application knows."""
    return signing_key("HS256", "forger")


@dataclass(frozen=True, slots=True)
class ForgedTokens(TokenFactory):
    """Signs tokens with a key that no application knows.

    With an `original`, a good JWT of the application, each forgery has its header and claims, so
    that nothing but the forged part can be why it is refused.
    """

    key: SigningKey = field(default_factory=_own_key)
    original: str = field(default="", repr=False, kw_only=True)
    _header: dict[str, object] = field(
        default_factory=dict[str, object], repr=False, kw_only=True, compare=False
    )
    _claims: dict[str, object] = field(
        default_factory=dict[str, object], repr=False, kw_only=True, compare=False
    )

    def like(self, token: str) -> ForgedTokens:
        """Return what forges in the likeness of a token; of anything but a JWT, this one."""
        try:
            first, second, _ = token.split(".")
            header, claims = parse_object(decode(first)), parse_object(decode(second))
        except ValueError:
            return self
        algorithm = header.get("alg")
        key = signing_key(str(algorithm), "forger") if algorithm in ALGORITHMS else self.key
        return replace(self, key=key, original=token, _header=header, _claims=claims)

    @override
    def good(self, **claims: object) -> str:
        """Return the original, or a forgery with these claims."""
        if self.original and not claims:
            return self.original
        return self.sign(self.header(), self.claims(**claims))

    @override
    def header(self, **changes: object) -> dict[str, object]:
        """Return the header of the original with these changes."""
        return present((self._header or TokenFactory.header(self)) | changes)

    @override
    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of the original with these changes."""
        return present((self._claims or TokenFactory.claims(self)) | changes)
