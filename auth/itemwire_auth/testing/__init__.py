"""Makes tokens for tests, good ones and every kind of bad one, and their keys.

factory = TokenFactory(signing_key_from_secret(new_secret()))
verifier = TokenVerifier(StaticKeys([factory.key.verification_key()]), factory.rules)

verifier.verify(factory.good())                     # a Principal
verifier.verify(BAD_TOKENS["expired"](factory))     # InvalidToken, whichever row it is
"""

from itemwire_auth.testing.attacks import BAD_TOKENS, confused, needs_of
from itemwire_auth.testing.factory import ABSENT, TokenFactory, encode
from itemwire_auth.testing.forging import ForgedTokens
from itemwire_auth.testing.keys import jwk_set, private_jwk, public_jwk, public_pem, signing_key
from itemwire_auth.testing.severities import Severity, severity_of

__all__ = [
    "ABSENT",
    "BAD_TOKENS",
    "ForgedTokens",
    "Severity",
    "TokenFactory",
    "confused",
    "encode",
    "jwk_set",
    "needs_of",
    "private_jwk",
    "public_jwk",
    "public_pem",
    "severity_of",
    "signing_key",
]
