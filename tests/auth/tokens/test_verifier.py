"""Tests of tokens/verifier.py: what a good token becomes, and how a bad one is explained."""

from __future__ import annotations

import asyncio
import time
import timeit
from contextlib import suppress

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from itemwire_auth.errors import InvalidToken, Unavailable, UnknownKey
from itemwire_auth.keys.algorithms import VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.static import StaticKeys, keys_from_secret, signing_key_from_secret
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import Action
from itemwire_auth.testing import BAD_TOKENS, TokenFactory, encode, signing_key
from itemwire_auth.tokens.checks import CHECKS
from itemwire_auth.tokens.minting import mint, new_secret
from itemwire_auth.tokens.parsed_token import TokenRules
from itemwire_auth.tokens.verifier import EARLIEST, CheckResult, TokenVerifier
from tests.auth.conftest import NOW

fixtures_are_values = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_tells_who_and_what(factory: TokenFactory, verifier: TokenVerifier) -> None:
    """Everything a policy, a log and a timer need is on the principal, with its true type."""
    rights = {"scope": "items:subscribe", "items": {"a": ["publish"]}}

    principal = verifier.verify(factory.good(sub="bob", jti="t1", plan="pro", **rights))

    assert principal.identity == ("https://issuer.test", "bob")
    assert principal.expires_at == NOW + 300
    assert principal.issued_at == NOW
    assert principal.token_id == "t1"
    assert principal.rights.actions_on("a") == {Action.SUBSCRIBE, Action.PUBLISH}
    assert principal.claims["plan"] == "pro"


def test_accepts_the_least_token() -> None:
    """`sub` and `exp` are all that is asked of a token when nothing is configured."""
    key = signing_key_from_secret(secret := new_secret())
    verifier = TokenVerifier(keys_from_secret(secret), TokenRules())
    token = jwt.encode({"sub": "a", "exp": int(time.time()) + 60}, key.key, headers={"typ": None})

    principal = verifier.verify(token)

    assert principal == Principal(
        None, "a", principal.rights, principal.expires_at, None, principal.claims
    )
    assert not any(principal.rights.has(action) for action in Action)


def test_judges_no_token_by_a_clock_that_was_never_set() -> None:
    """A machine without a battery begins in 1970, until it has asked for the time."""
    now = [float(EARLIEST)]
    key = signing_key_from_secret(secret := new_secret())
    verifier = TokenVerifier(keys_from_secret(secret), TokenRules(), lambda: now[0])
    token = mint(key, subject="a", scope="", lifetime=60, now=now[0])

    assert asyncio.run(verifier.verify_or_fetch(token)).subject == "a"
    assert (verifier.has_keys, verifier.lacks_keys) == (True, False)
    now[0] -= 1
    assert (verifier.has_keys, verifier.lacks_keys) == (False, True)
    with pytest.raises(Unavailable, match="clock"):
        asyncio.run(verifier.verify_or_fetch(token))


def test_claims_cannot_be_changed(factory: TokenFactory, verifier: TokenVerifier) -> None:
    """What was verified stays what was verified."""
    claims = verifier.verify(factory.good()).claims

    with pytest.raises(TypeError):
        claims["sub"] = "admin"  # type: ignore[index] # the point of the test


def test_explains_a_good_token(factory: TokenFactory, verifier: TokenVerifier) -> None:
    """Each check passes, in the order of the table."""
    results = verifier.explain(factory.good())

    assert [(it.name, it.passed) for it in results] == [(name, True) for name in CHECKS]
    assert {it.name: it.detail for it in results if it.detail} == {
        "type": "typ is 'at+jwt'",
        "key": "the key without a name is for HS256",
        "subject": "sub is 'alice'",
        "expiry": "it expires in 300 s",
        "issuer": "iss is 'https://issuer.test'",
        "audience": "aud is 'itemwire-tests'",
        "rights": "scope grants items:subscribe items:publish items:history items:presence; "
        "scp is absent; permissions is absent; realm_access.roles is absent",
    }


def test_explains_what_was_not_reached(factory: TokenFactory, verifier: TokenVerifier) -> None:
    """A check that did not run has neither passed nor failed."""
    results = {result.name: result for result in verifier.explain(factory.good(exp=NOW - 5))}

    assert results["signature"].passed is True
    assert results["expiry"] == CheckResult("expiry", passed=False, detail="it expired 5 s ago")
    assert results["rights"] == CheckResult("rights", passed=None)


def test_reads_the_clock_each_time(factory: TokenFactory) -> None:
    """A verifier lives as long as the server; a token does not."""
    clock = iter([NOW, NOW + 299, NOW + 300])
    keys = keys_from_secret(secret := new_secret())
    verifier = TokenVerifier(keys, TokenRules(), clock=lambda: next(clock))
    token = mint(signing_key_from_secret(secret), subject="a", lifetime=300, now=NOW)

    verifier.verify(token)
    verifier.verify(token)

    with pytest.raises(InvalidToken, match="expired"):
        verifier.verify(token)


@fixtures_are_values
@given(token=st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}"))
def test_raises_nothing_but_invalid_token_on_text(token: str, verifier: TokenVerifier) -> None:
    """Whatever a stranger sends ends in one kind of refusal: never in 5xx or 1011."""
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)

    assert refused.value.check in CHECKS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
claim_names = st.sampled_from(("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "scope"))
header_names = st.sampled_from(("alg", "typ", "kid", "crit", "b64", "zip", "cty", "jwk", "x5c"))
any_claims = st.dictionaries(claim_names | st.just("items"), json_values)
any_header = st.dictionaries(header_names, json_values)
any_bytes = st.binary(max_size=60)


@fixtures_are_values
@given(claims=any_claims, header=any_header)
def test_raises_nothing_but_invalid_token_on_signed_nonsense(
    claims: dict[str, object],
    header: dict[str, object],
    factory: TokenFactory,
    verifier: TokenVerifier,
) -> None:
    """An issuer's mistakes of any type are refused as well, behind a true signature."""
    token = factory.sign(factory.header(**header), factory.claims(**claims))

    with suppress(InvalidToken):
        principal = verifier.verify(token)
        assert NOW < principal.expires_at <= NOW + factory.rules.max_lifetime
        assert principal.subject


@fixtures_are_values
@given(header=any_bytes, payload=any_bytes, signature=any_bytes)
def test_raises_nothing_but_invalid_token_on_bytes(
    header: bytes, payload: bytes, signature: bytes, verifier: TokenVerifier
) -> None:
    """Three parts of well-formed base64url, with anything in them."""
    with pytest.raises(InvalidToken):
        verifier.verify(f"{encode(header)}.{encode(payload)}.{encode(signature)}")


@fixtures_are_values
@given(subject=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=256))
def test_pyjwt_reads_the_same(subject: str, factory: TokenFactory, verifier: TokenVerifier) -> None:
    """What is accepted here is good to an independent reader too, with the same claims."""
    token = factory.good(sub=subject)
    assert isinstance(factory.key.key, bytes)

    ours = verifier.verify(token)
    theirs = jwt.decode(
        token,
        factory.key.key,
        algorithms=["HS256"],
        audience=factory.audience,
        issuer=factory.issuer,
        options={"enforce_minimum_key_length": True, "verify_exp": False, "verify_iat": False},
    )

    assert dict(ours.claims) == theirs
    assert ours.subject == subject


def quickest_refusal(verifier: TokenVerifier, token: str) -> float:
    """Return the CPU seconds of a refusal; the best of five, for others use this machine too."""

    def refuse() -> None:
        with suppress(InvalidToken):
            verifier.verify(token)

    return min(timeit.repeat(refuse, timer=time.thread_time, number=1, repeat=5))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("a" * 50_000_000, id="50-megabytes"),
        pytest.param("a" * 8191 + "!", id="one-part"),
        pytest.param("a" * 4000 + "." + "a" * 4000 + "!", id="two-parts"),
        pytest.param(".".join(["a" * 2700] * 3), id="three-parts"),
        pytest.param("a." * 4096, id="many-parts"),
        pytest.param(f"{encode(b'[' * 4000)}.aaaa.aaaa", id="nested"),
        pytest.param(f"{encode(b'9' * 6000)}.aaaa.aaaa", id="digits"),
    ],
)
def test_refuses_large_tokens_in_5_ms(token: str, verifier: TokenVerifier) -> None:
    """Length is looked at first, and the form's pattern never backtracks (requirement 27)."""
    assert quickest_refusal(verifier, token) < 0.005


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_refuses_every_bad_token_in_5_ms(
    name: str, factory: TokenFactory, verifier: TokenVerifier
) -> None:
    """The loop stands still meanwhile, and so do all messages (requirement 41)."""
    assert quickest_refusal(verifier, BAD_TOKENS[name](factory)) < 0.005
    verifier.verify(factory.good())


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_makes_no_server_fetch_much(name: str) -> None:
    """Only an unknown `kid` is asked for; what a header names never (requirements 33, 34, 46)."""
    factory = TokenFactory(signing_key("ES256", "a"), clock=lambda: NOW)
    asked: list[str | None] = []

    class Noted(StaticKeys):
        @override
        async def refresh_for(self, kid: str | None, /) -> bool:
            asked.append(kid)
            return True

    verifier = TokenVerifier(Noted([factory.key.verification_key()]), factory.rules, factory.clock)

    with pytest.raises(InvalidToken):
        asyncio.run(verifier.verify_or_fetch(BAD_TOKENS[name](factory)))
    assert len(asked) == (1 if name.startswith("kid_") else 0)
    assert asyncio.run(verifier.verify_or_fetch(factory.good())).subject == "alice"


def test_a_key_that_came_meanwhile_verifies() -> None:
    """The first token of a new key gets in, not the second."""
    factory = TokenFactory(signing_key("ES256", "a"), clock=lambda: NOW)
    found: dict[str | None, VerificationKey] = {}

    class Late(KeySource):
        @override
        def find(self, kid: str | None, _algorithm: str | None = None, /) -> VerificationKey | None:
            return found.get(kid)

        @override
        async def refresh_for(self, kid: str | None, /) -> bool:
            found[kid] = factory.key.verification_key()
            return True

    verifier = TokenVerifier(Late(), factory.rules, factory.clock)

    with pytest.raises(UnknownKey):
        verifier.verify(factory.good())
    assert asyncio.run(verifier.verify_or_fetch(factory.good())).subject == "alice"
