"""Tests of the attack catalogue: each row is refused, for its own reason, whatever the key."""

from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path

import pytest

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.algorithms import ALGORITHMS, SigningKey
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.testing import BAD_TOKENS, TokenFactory, signing_key
from itemwire_auth.testing.attacks import (
    CLAIM_FAULTS,
    FORM_FAULTS,
    HEADER_FAULTS,
    JSON_FAULTS,
    KID_FAULTS,
)
from itemwire_auth.testing.keys import base64url
from itemwire_auth.tokens.checks import CHECKS
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import NOW, verifier_of

# The check that stops each row; so a row cannot pass its test because of another fault.
STOPPED_BY: dict[str, str] = (
    {name: "subject" for name in CLAIM_FAULTS if "sub" in name.split("_")}
    | {name: "audience" for name in CLAIM_FAULTS if "audience" in name}
    | {name: "issuer" for name in CLAIM_FAULTS if "issuer" in name}
    | {name: "expiry" for name in CLAIM_FAULTS if "exp" in name or name == "exp_huge"}
    | {name: "not_before" for name in CLAIM_FAULTS if "nbf" in name}
    | {name: "issued_at" for name in CLAIM_FAULTS if "iat" in name}
    | {name: "algorithm" for name in HEADER_FAULTS if "alg" in name}
    | {name: "critical" for name in HEADER_FAULTS if name.startswith(("crit", "b64"))}
    | {name: "type" for name in HEADER_FAULTS if "type" in name}
    | {name: "key" for name in HEADER_FAULTS if "kid" in name}
    | dict.fromkeys(KID_FAULTS, "signature")  # the one secret of this server has no name
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

NAMES = """
alg_empty alg_list alg_none alg_none_capital alg_none_mixed alg_none_upper alg_null alg_unknown
audience_empty audience_in_other_case audience_joined_by_comma audience_longer audience_object
audience_with_number b64_false b64_without_crit bearer_before bound_to_sender changed_payload
crit crit_empty crit_null crit_text empty empty_sub exp_float_past exp_huge exp_infinity
exp_list exp_milliseconds exp_negative exp_null exp_string exp_true expired expires_now
five_parts four_parts fullwidth_digits garbage garbage_in_three_parts header_byte_order_mark
header_comment header_deep_lists header_deep_objects header_infinity header_latin_1 header_list
header_lone_surrogate header_many_digits header_name_twice header_name_twice_escaped
header_name_twice_within header_nan header_no_json header_null header_out_of_range header_text
header_two_objects header_utf_16 header_utf_32 hs256_with_empty_secret hs256_with_rsa_public_key
iat_ahead issuer_list issuer_prefix json_serialisation kid_command kid_empty kid_list kid_long
kid_nul kid_null kid_number kid_path kid_sql kid_unknown line_break lives_100_years
lone_surrogate_in_token nbf_float_ahead nbf_null nbf_string nested no_alg no_audience no_exp
no_issuer no_payload no_signature no_sub no_type not_ascii not_yet_valid nul only_dots oversized
oversized_by_far own_certificate_in_header own_key_in_header own_key_url_in_header padded
payload_byte_order_mark payload_comment payload_deep_lists payload_deep_objects payload_infinity
payload_latin_1 payload_list payload_lone_surrogate payload_many_digits payload_name_twice
payload_name_twice_escaped payload_name_twice_within payload_nan payload_no_json payload_null
payload_out_of_range payload_text payload_two_objects payload_utf_16 payload_utf_32 quoted
signature_longer signature_of_zeros signature_shorter space_before standard_base64 sub_float
sub_null sub_too_long sub_true sub_with_line_break sub_with_lone_surrogate sub_with_nul
trailing_bits two_parts type_dpop type_null type_number unsigned unsigned_with_signature
wrong_audience wrong_issuer wrong_signature wrong_type zip
"""


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


def test_every_row_keeps_its_name() -> None:
    """Users choose rows by name, so a renamed one would silently be left out of their tests."""
    assert sorted(BAD_TOKENS) == NAMES.split()


CATALOGUE = Path(__file__).with_name("attacks.txt")
SHOWN = 120  # characters of each part


def described(name: str, factory: TokenFactory) -> str:
    """Return how a row's token differs from a good one: its header, its claims, its signature."""
    good = factory.good().split(".")
    token = BAD_TOKENS[name](factory)
    if len(token.split(".")) != 3:
        return f"{name} | {_short(_spoilt(token, factory.good()))}"
    message, _, signature = token.rpartition(".")
    is_signed = signature == base64url(factory.key.sign(message.encode("utf-8", "replace")))
    parts = [_part(mine, its) for mine, its in zip(token.split(".")[:2], good[:2], strict=True)]
    end = "signed" if is_signed else _short(signature.replace(good[2], "<good>"))
    return " | ".join([name, *parts, OTHER_KEY.get(name, end)])


# Signed by keys that are made anew in each run.
OTHER_KEY = dict.fromkeys(
    (
        "own_key_in_header",
        "own_key_url_in_header",
        "own_certificate_in_header",
        "hs256_with_rsa_public_key",
        "kid_unknown",
        "kid_empty",
        "kid_nul",
        "kid_command",
        "kid_long",
    ),
    "signed by another key",
)


def _spoilt(token: str, good: str) -> str:
    for whole, name in (
        (good, "<good>"),
        *zip(good.split("."), ("<header>", "<claims>", "<mac>"), strict=True),
    ):
        token = token.replace(whole, name)
    return token


def _part(mine: str, good: str) -> str:
    """Return what a part has that the good one has not, and what it has not."""
    if mine == good:
        return "good"
    try:
        members, usual = (_decoded(part).split(", ") for part in (mine, good))
    except ValueError:
        return _short(mine.replace(good, "<good>"))
    added, left_out = _beside(members, usual), _beside(usual, members)
    return f"{_short(added)} for {_short(left_out)}"


def _beside(members: list[str], others: list[str]) -> str:
    return ", ".join(one for one in members if one not in others)


def _decoded(part: str) -> str:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    return re.sub(r'("k": )"[^"]+"', r'\1"…"', data.decode("latin-1"))


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}… {len(text)} characters"


def test_each_row_is_the_attack_that_it_is_called() -> None:
    """A row that came to be another attack would be refused all the same, and leave one out."""
    key = SigningKey(None, "HS256", bytes(range(32)))
    factory = TokenFactory(key, clock=lambda: NOW)

    assert [described(name, factory) for name in BAD_TOKENS] == CATALOGUE.read_text().splitlines()
