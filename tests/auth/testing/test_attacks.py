"""Tests of the attack catalogue: each row is refused, for its own reason, whatever the key."""

from __future__ import annotations

import dataclasses

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.algorithms import ALGORITHMS
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import BAD_TOKENS, TokenFactory, signing_key
from itemwire_auth.testing.attacks import CLAIM_FAULTS, FORM_FAULTS, HEADER_FAULTS, JSON_FAULTS
from itemwire_auth.tokens.checks import CHECKS
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import verifier_of

# The check that stops each row; so a row cannot pass its test because of another fault.
STOPPED_BY: dict[str, str] = (
    {name: "rights" for name in CLAIM_FAULTS if name.startswith(("scope", "items"))}
    | {name: "subject" for name in CLAIM_FAULTS if "sub" in name.split("_")}
    | {name: "audience" for name in CLAIM_FAULTS if "audience" in name}
    | {name: "issuer" for name in CLAIM_FAULTS if "issuer" in name}
    | {name: "expiry" for name in CLAIM_FAULTS if "exp" in name or name == "exp_huge"}
    | {name: "not_before" for name in CLAIM_FAULTS if "nbf" in name}
    | {name: "issued_at" for name in CLAIM_FAULTS if "iat" in name}
    | {name: "algorithm" for name in HEADER_FAULTS if "alg" in name}
    | {name: "critical" for name in HEADER_FAULTS if name.startswith(("crit", "b64"))}
    | {name: "type" for name in HEADER_FAULTS if "type" in name}
    | {name: "key" for name in HEADER_FAULTS if "kid" in name}
    | {f"header_{name}": "header" for name in JSON_FAULTS}
    | {f"payload_{name}": "claims" for name in JSON_FAULTS}
    | dict.fromkeys(FORM_FAULTS, "form")
    | {name: "signature" for name in FORM_FAULTS if "signature" in name or "own_" in name}
    | {
        "exp_huge": "claims",
        "exp_infinity": "claims",
        "sub_with_lone_surrogate": "claims",
        "not_yet_valid": "not_before",
        "lives_100_years": "lifetime",
        "bound_to_sender": "binding",
        "jti_number": "token_id",
        "sid_list": "token_id",
        "zip": "critical",
        "nested": "critical",
        "garbage_in_three_parts": "header",
        "standard_base64": "form",
        "oversized": "size",
        "oversized_by_far": "size",
        "unsigned_with_signature": "algorithm",
        "no_signature": "form",
        "changed_payload": "signature",
        "hs256_with_rsa_public_key": "signature",
        "hs256_with_empty_secret": "signature",
    }
)


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_stops(name: str, factory: TokenFactory, verifier: TokenVerifier) -> None:
    """Each attack fails the check that is meant for it, and no other check."""
    token = BAD_TOKENS[name](factory)

    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)

    assert refused.value.check == STOPPED_BY[name]
    assert refused.value.code == "credentials_invalid"
    assert token not in str(refused.value) or not token


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_stops_all_whatever_the_key(algorithm: str, factory: TokenFactory) -> None:
    """The catalogue holds for a server of any algorithm, and each of them lets the good one in."""
    server = dataclasses.replace(factory, key=signing_key(algorithm, "a"))
    verifier = verifier_of(server)

    for attack in BAD_TOKENS.values():
        with pytest.raises(InvalidToken):
            verifier.verify(attack(server))
    assert verifier.verify(server.good()).subject == "alice"


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_explains_as_it_refuses(name: str, factory: TokenFactory, verifier: TokenVerifier) -> None:
    """`token inspect` and the server cannot disagree: both walk one table."""
    results = verifier.explain(BAD_TOKENS[name](factory))

    failed = [result.name for result in results if result.passed is False]
    reached = [result.name for result in results if result.passed is not None]
    assert failed == [STOPPED_BY[name]]
    assert [result.name for result in results] == list(CHECKS)
    assert reached[-1] == failed[0]


def test_a_kid_reaches_nothing_but_a_dictionary(
    factory: TokenFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is opened and no name resolved for a token (requirements 33, 34)."""
    tokens = [attack(factory) for attack in BAD_TOKENS.values()]
    verifier = verifier_of(factory)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a token made the server reach out")

    monkeypatch.setattr("builtins.open", fail)
    monkeypatch.setattr("io.open", fail)
    monkeypatch.setattr("socket.socket", fail)
    monkeypatch.setattr("socket.getaddrinfo", fail)
    for token in tokens:
        with pytest.raises(InvalidToken):
            verifier.verify(token)


def test_a_retired_key_is_refused(factory: TokenFactory) -> None:
    """Rotation: the old key's token works until the key is taken out (requirement 47)."""
    old, new = signing_key("HS256", "old"), signing_key("HS256", "new")
    token = dataclasses.replace(factory, key=old).good()
    both = StaticKeys([old.verification_key(), new.verification_key()])
    later = StaticKeys([new.verification_key()])

    assert TokenVerifier(both, factory.rules, factory.clock).verify(token).subject == "alice"
    with pytest.raises(InvalidToken, match="no key is named 'old'"):
        TokenVerifier(later, factory.rules, factory.clock).verify(token)
