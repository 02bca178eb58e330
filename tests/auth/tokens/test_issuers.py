"""Tests of tokens/issuers.py: each issuer's tokens are verified by its own keys and rules."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from typing_extensions import override

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import ABSENT, BAD_TOKENS, TokenFactory, encode, signing_key
from itemwire_auth.tokens.checks import CHECKS
from itemwire_auth.tokens.issuers import Issuer, IssuersVerifier
from tests.auth.conftest import NOW

# Both name their key "k": a key that was found by `kid` alone could be the other issuer's.
FIRST_KEY = dataclasses.replace(signing_key("ES256", "first"), kid="k")
SECOND_KEY = dataclasses.replace(signing_key("ES256", "second"), kid="k")
FIRST = TokenFactory(FIRST_KEY, issuer="https://one.test", audience="one", clock=lambda: NOW)
SECOND = TokenFactory(SECOND_KEY, issuer="https://two.test", audience="two", clock=lambda: NOW)


@pytest.fixture
def verifier() -> IssuersVerifier:
    """Trust both issuers, each for its own audience."""
    return verifier_of(FIRST, SECOND)


def verifier_of(*factories: TokenFactory) -> IssuersVerifier:
    """Trust the issuers that these factories are."""
    return IssuersVerifier(
        {
            str(factory.issuer): Issuer(
                StaticKeys([factory.key.verification_key()]), factory.rules.audience
            )
            for factory in factories
        },
        FIRST.rules,
        clock=lambda: NOW,
    )


def refused(verifier: IssuersVerifier, token: str) -> str:
    """Return the check that refuses a token; both ways of verifying must agree."""
    with pytest.raises(InvalidToken) as now:
        verifier.verify(token)
    with pytest.raises(InvalidToken) as later:
        asyncio.run(verifier.verify_or_fetch(token))
    failed = [it for it in verifier.explain(token) if it.passed is False]

    assert now.value.check == later.value.check == failed[0].name
    assert len(failed) == 1
    return now.value.check


@pytest.mark.parametrize("factory", [FIRST, SECOND], ids=["first", "second"])
def test_takes_the_tokens_of_each_issuer(factory: TokenFactory, verifier: IssuersVerifier) -> None:
    """The accepted twin of all refusals below."""
    token = factory.good()

    assert verifier.verify(token).issuer == factory.issuer
    assert asyncio.run(verifier.verify_or_fetch(token)) is verifier.verify(token)
    assert [(it.name, it.passed) for it in verifier.explain(token)] == [(it, True) for it in CHECKS]


@pytest.mark.parametrize(
    ("own", "other"), [(FIRST, SECOND), (SECOND, FIRST)], ids=["first", "second"]
)
def test_no_issuer_can_sign_for_another(
    own: TokenFactory, other: TokenFactory, verifier: IssuersVerifier
) -> None:
    """Not with its own key, and not with its own token remembered (requirement 54)."""
    forged = dataclasses.replace(other, key=own.key).good()
    header, _, signature = own.good().split(".")
    respelt = f"{header}.{encode(own.claims(iss=other.issuer))}.{signature}"

    assert verifier.verify(own.good()).issuer == own.issuer
    assert refused(verifier, forged) == "signature"
    assert refused(verifier, respelt) == "signature"


def test_each_issuer_has_its_own_audience(verifier: IssuersVerifier) -> None:
    """A token that one issuer made for another service does not count here (requirement 53)."""
    assert refused(verifier, FIRST.good(aud="two")) == "audience"
    assert refused(verifier, SECOND.good(aud="one")) == "audience"
    assert refused(verifier, SECOND.good(aud=ABSENT)) == "audience"


def test_a_client_stands_in_for_the_audience_of_its_own_issuer() -> None:
    """The client of one issuer opens nothing to another issuer's tokens (requirement 53)."""
    issuers = {
        str(FIRST.issuer): Issuer(StaticKeys([FIRST_KEY.verification_key()]), ("one",)),
        str(SECOND.issuer): Issuer(StaticKeys([SECOND_KEY.verification_key()]), (), ("web",)),
    }
    verifier = IssuersVerifier(issuers, FIRST.rules, clock=lambda: NOW)

    assert verifier.verify(SECOND.good(aud=ABSENT, client_id="web")).issuer == SECOND.issuer
    assert refused(verifier, SECOND.good(aud=ABSENT, client_id="ios")) == "audience"
    assert refused(verifier, FIRST.good(aud=ABSENT, client_id="web")) == "audience"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://three.test",
        "https://one.test/",
        "https://ONE.test",
        "https://one",
        " https://one.test",
        "",
        ABSENT,
        None,
        7,
        ["https://one.test"],
        {"https://one.test": True},
        True,
    ],
)
def test_an_issuer_is_its_exact_name(issuer: object, verifier: IssuersVerifier) -> None:
    """Nobody else's key is tried for it (requirement 54)."""
    assert refused(verifier, FIRST.good(iss=issuer)) == "issuer"


def test_one_subject_of_two_issuers_is_two_callers(verifier: IssuersVerifier) -> None:
    """A subject is unique within its issuer only (requirement 55)."""
    first, second = verifier.verify(FIRST.good()), verifier.verify(SECOND.good())

    assert first.subject == second.subject
    assert first.identity != second.identity


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
@pytest.mark.parametrize("name", BAD_TOKENS)
def test_refuses_every_bad_token(name: str, algorithm: str) -> None:
    """What is bad with one issuer is bad with several."""
    factory = TokenFactory(signing_key(algorithm), clock=lambda: NOW)
    verifier = IssuersVerifier(
        {
            str(factory.issuer): Issuer(
                StaticKeys([factory.key.verification_key()]), factory.rules.audience
            )
        },
        factory.rules,
        clock=lambda: NOW,
    )

    with pytest.raises(InvalidToken):
        verifier.verify(BAD_TOKENS[name](factory))
    assert verifier.verify(factory.good()).subject == "alice"


def test_explains_what_was_looked_at_first(verifier: IssuersVerifier) -> None:
    """An operator sees that the issuer is not known, and that nothing else was asked."""
    results = {it.name: it.passed for it in verifier.explain(FIRST.good(iss="x"))}

    assert list(results) == list(CHECKS)
    assert [name for name, passed in results.items() if passed] == ["size", "form", "claims"]
    assert [name for name, passed in results.items() if passed is False] == ["issuer"]
    details = {it.name: it.detail for it in verifier.explain(FIRST.good(iss="x"))}
    assert "'x'" in details.pop("issuer")
    assert set(details.values()) == {""}
    assert refused(verifier, "a.b") == "form"
    assert refused(verifier, "a" * 9000) == "size"


def test_an_unknown_key_is_asked_of_its_own_issuer_only() -> None:
    """Tokens of one issuer start no fetch from another (requirement 46)."""
    asked: list[str] = []

    class Noted(StaticKeys):
        def __init__(self, name: str) -> None:
            super().__init__([])
            self.name = name

        @override
        async def refresh_for(self, _kid: str | None, /) -> bool:
            asked.append(self.name)
            return False

    verifier = IssuersVerifier(
        {name: Issuer(Noted(name)) for name in ("https://one.test", "https://two.test")},
        FIRST.rules,
        clock=lambda: NOW,
    )

    for token in (FIRST.good(iss="https://three.test"), "garbage", FIRST.good(exp=ABSENT)):
        with pytest.raises(InvalidToken):
            asyncio.run(verifier.verify_or_fetch(token))
    assert asked == ["https://one.test"]
