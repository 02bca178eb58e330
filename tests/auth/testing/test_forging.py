"""Forged tokens are like a good one in all but what is forged."""

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.testing import BAD_TOKENS, ForgedTokens, TokenFactory, needs_of, signing_key
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import verifier_of

FORGERIES = [name for name in BAD_TOKENS if "signing" not in needs_of(name)]


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "RS256"])
def test_has_the_header_and_the_claims_of_the_original(
    algorithm: str, factory: TokenFactory
) -> None:
    """An application that asks for a claim of its own must not refuse it for the lack of that."""
    application = TokenFactory(signing_key(algorithm, "k"), clock=factory.clock)
    good = application.good(tenant="acme")
    forged = ForgedTokens().like(good)

    assert forged.good() == good
    assert forged.claims() == application.claims(tenant="acme")
    assert forged.header() == application.header()
    assert forged.claims(sub="mallory")["sub"] == "mallory"
    assert forged.good(sub="mallory") != good


@pytest.mark.parametrize("name", FORGERIES)
def test_every_forgery_is_refused(
    name: str, factory: TokenFactory, verifier: TokenVerifier
) -> None:
    """With the claims of a good token, only the forged part is left to refuse it for."""
    with pytest.raises(InvalidToken):
        verifier.verify(BAD_TOKENS[name](ForgedTokens().like(factory.good())))


def test_is_refused_for_its_signature_alone(factory: TokenFactory) -> None:
    """The same claims, signed by the application, are taken: the twin of all forgeries."""
    forged = ForgedTokens().like(factory.good())

    assert verifier_of(factory).verify(forged.good()).subject == "alice"
    with pytest.raises(InvalidToken) as refused:
        verifier_of(factory).verify(forged.sign(forged.header(), forged.claims()))
    assert refused.value.check == "signature"


@pytest.mark.parametrize(
    "token", ["k-7Vd0cXr2mQ", "", "a.b.c", "a.b", "e30.W10.c"], ids=lambda token: token or "empty"
)
def test_of_anything_but_a_jwt_a_forgery_is_a_jwt_of_its_own(token: str) -> None:
    """An opaque key has nothing to copy."""
    forged = ForgedTokens()

    assert forged.like(token) is forged
    assert forged.good().count(".") == 2
