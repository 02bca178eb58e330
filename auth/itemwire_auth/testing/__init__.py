"""Makes tokens for tests, good ones and every kind of bad one, and their keys.

factory = TokenFactory(signing_key_from_secret(new_secret()))
verifier = TokenVerifier(StaticKeys([factory.key.verification_key()]), factory.rules)

verifier.verify(factory.good())                     # a Principal
verifier.verify(BAD_TOKENS["expired"](factory))     # InvalidToken, whichever row it is
"""

from itemwire_auth.testing.attacks import BAD_TOKENS, confused
from itemwire_auth.testing.factory import ABSENT, TokenFactory, encode
from itemwire_auth.testing.keys import jwk_set, private_jwk, public_jwk, public_pem, signing_key

__all__ = [
    "ABSENT",
    "BAD_TOKENS",
    "TokenFactory",
    "confused",
    "encode",
    "jwk_set",
    "private_jwk",
    "public_jwk",
    "public_pem",
    "signing_key",
]
