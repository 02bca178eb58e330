"""Lists attacks on a server that takes tokens: it must refuse every row of BAD_TOKENS."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import string
from collections.abc import Callable
from typing import Final, TypeAlias

from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.testing.factory import ABSENT, TokenFactory, encode
from itemwire_auth.testing.keys import public_jwk, public_pem, signing_key
from itemwire_auth.tokens.parsed_token import decode

BadToken: TypeAlias = Callable[[TokenFactory], str]
"""Makes one bad token with the key and the rules of a factory."""

# In these tables a row is one change to a good token, which is then signed correctly.
CLAIM_FAULTS: Final[dict[str, Callable[[int], dict[str, object]]]] = {
    "expired": lambda now: {"iat": now - 600, "exp": now - 300},
    "expires_now": lambda now: {"exp": now},
    "no_exp": lambda _: {"exp": ABSENT},
    "exp_string": lambda now: {"exp": str(now + 300)},
    "exp_float_past": lambda now: {"iat": now - 600.5, "exp": now - 0.5},
    "exp_true": lambda _: {"exp": True},
    "exp_null": lambda _: {"exp": None},
    "exp_list": lambda now: {"exp": [now + 300]},
    "exp_negative": lambda _: {"exp": -1},
    "exp_milliseconds": lambda now: {"exp": (now + 300) * 1000},
    "exp_huge": lambda _: {"exp": 10**400},
    "exp_infinity": lambda _: {"exp": float("inf")},
    "lives_100_years": lambda now: {"exp": now + 100 * 365 * 24 * 3600},
    "not_yet_valid": lambda now: {"nbf": now + 200},
    "nbf_string": lambda now: {"nbf": str(now)},
    "nbf_null": lambda _: {"nbf": None},
    "iat_ahead": lambda now: {"iat": now + 200},
    "nbf_float_ahead": lambda now: {"nbf": now + 200.5},
    "no_sub": lambda _: {"sub": ABSENT},
    "empty_sub": lambda _: {"sub": ""},
    "sub_float": lambda _: {"sub": 4.2},
    "sub_true": lambda _: {"sub": True},
    "sub_null": lambda _: {"sub": None},
    "sub_too_long": lambda _: {"sub": "a" * 257},
    "sub_with_line_break": lambda _: {"sub": "alice\nbob"},
    "sub_with_nul": lambda _: {"sub": "alice\0"},
    "sub_with_lone_surrogate": lambda _: {"sub": "alice\ud800"},
    "wrong_issuer": lambda _: {"iss": "https://other.test"},
    "issuer_prefix": lambda _: {"iss": "https://issuer"},
    "issuer_list": lambda _: {"iss": ["https://issuer.test"]},
    "no_issuer": lambda _: {"iss": ABSENT},
    "wrong_audience": lambda _: {"aud": "another"},
    "audience_in_other_case": lambda _: {"aud": "ITEMWIRE-TESTS"},
    "audience_joined_by_comma": lambda _: {"aud": "another,itemwire-tests"},
    "audience_longer": lambda _: {"aud": "itemwire-tests.evil.test"},
    "audience_object": lambda _: {"aud": {"itemwire-tests": True}},
    "audience_with_number": lambda _: {"aud": ["itemwire-tests", 7]},
    "audience_empty": lambda _: {"aud": []},
    "no_audience": lambda _: {"aud": ABSENT},
    "bound_to_sender": lambda _: {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
}

HEADER_FAULTS: Final[dict[str, dict[str, object]]] = {
    "wrong_type": {"typ": "logout+jwt"},
    "type_dpop": {"typ": "dpop+jwt"},
    "type_number": {"typ": 7},
    "type_null": {"typ": None},
    "no_type": {"typ": ABSENT},
    "alg_none": {"alg": "none"},
    "alg_none_capital": {"alg": "None"},
    "alg_none_upper": {"alg": "NONE"},
    "alg_none_mixed": {"alg": "nOnE"},
    "alg_empty": {"alg": ""},
    "alg_null": {"alg": None},
    "alg_list": {"alg": ["HS256", "RS256", "ES256", "EdDSA"]},
    "alg_unknown": {"alg": "HS1"},
    "no_alg": {"alg": ABSENT},
    "crit": {"crit": ["exp"], "exp": 1},
    "crit_empty": {"crit": []},
    "crit_text": {"crit": "exp"},
    "crit_null": {"crit": None},
    "b64_false": {"b64": False, "crit": ["b64"]},
    "b64_without_crit": {"b64": False},
    "zip": {"zip": "DEF"},
    "nested": {"cty": "JWT"},
    "kid_number": {"kid": 1},
    "kid_null": {"kid": None},
    "kid_list": {"kid": ["a"]},
}

# Names of keys that the server does not have. Each token is signed with what the attacker hopes
# for: the content of the file, the answer of the database, or a key of the attacker's own. A good
# signature would show nothing, for a server with one secret need not know what its issuer calls it.
KID_FAULTS: Final[dict[str, BadToken]] = {
    "kid_unknown": lambda f: _forged(f, kid="another"),
    "kid_empty": lambda f: _forged(f, kid=""),
    "kid_path": lambda f: confused(f, b"", kid="../../../../dev/null"),
    "kid_nul": lambda f: _forged(f, kid="a\0"),
    "kid_sql": lambda f: confused(f, b"secret", kid="x' UNION SELECT 'secret"),
    "kid_command": lambda f: _forged(f, kid="key.pem; sleep 10"),
    "kid_long": lambda f: _forged(f, kid="a" * 5000),
}

# Ways to spoil the text of a JSON object: the result is not one object in UTF-8 with unique names.
JSON_FAULTS: Final[dict[str, Callable[[str], bytes]]] = {
    "utf_16": lambda good: good.encode("utf-16"),
    "utf_32": lambda good: good.encode("utf-32-be"),
    "byte_order_mark": lambda good: good.encode("utf-8-sig"),
    "latin_1": lambda good: _more(good, b'"name": "\xe9"'),
    "nan": lambda good: _more(good, b'"x": NaN'),
    "infinity": lambda good: _more(good, b'"x": -Infinity'),
    "out_of_range": lambda good: _more(good, b'"x": 1e400'),
    "name_twice": lambda good: _more(good, b'"x": 1, "x": 1'),
    "name_twice_escaped": lambda good: _more(good, b'"x": 1, "\\u0078": 1'),
    "name_twice_within": lambda good: _more(good, b'"x": [{"a": 1, "a": 2}]'),
    "deep_lists": lambda good: _more(good, b'"x": ' + b"[" * 2000 + b"]" * 2000),
    "deep_objects": lambda good: _more(good, b'"x": ' + b'{"a":' * 700 + b"0" + b"}" * 700),
    "many_digits": lambda good: _more(good, b'"x": ' + b"9" * 5000),
    "lone_surrogate": lambda good: _more(good, b'"name": "\\uDC00"'),
    "list": lambda good: f"[{good}]".encode(),
    "text": lambda _: b'"alice"',
    "null": lambda _: b"null",
    "two_objects": lambda good: f"{good}{good}".encode(),
    "comment": lambda good: f"/**/{good}".encode(),
    "no_json": lambda _: b"alice",
}

# Texts that are not a signed token in canonical form.
FORM_FAULTS: Final[dict[str, BadToken]] = {
    "empty": lambda _: "",
    "garbage": lambda _: "garbage",
    "garbage_in_three_parts": lambda _: "aaaa.bbbb.cccc",
    "only_dots": lambda _: "..",
    "not_ascii": lambda f: f.good() + "é",
    "fullwidth_digits": lambda f: f.good() + "\uff11\uff12\uff13\uff14",
    "lone_surrogate_in_token": lambda f: f.good() + "\ud800",
    "nul": lambda f: f.good() + "\0",
    "line_break": lambda f: f.good() + "\n",
    "space_before": lambda f: " " + f.good(),
    "bearer_before": lambda f: "Bearer " + f.good(),
    "quoted": lambda f: f'"{f.good()}"',
    "padded": lambda f: f.good() + "==",
    "standard_base64": lambda f: "+" + f.good()[1:],
    "two_parts": lambda f: f.good().rpartition(".")[0],
    "no_signature": lambda f: f.good().rpartition(".")[0] + ".",
    "no_payload": lambda f: "..".join(f.good().split(".")[::2]),
    "four_parts": lambda f: f.good() + ".aaaa",
    "five_parts": lambda f: f.good() + ".aaaa.aaaa",
    "json_serialisation": lambda f: json.dumps(
        dict(zip(("protected", "payload", "signature"), f.good().split("."), strict=True))
    ),
    "trailing_bits": lambda f: _respelt(f.good()),
    "oversized": lambda f: f.good(x="a" * 8192),
    "oversized_by_far": lambda f: f.good() + "a" * 1_000_000,
    "unsigned": lambda f: f"{encode(f.header(alg='none'))}.{encode(f.claims())}.",
    "unsigned_with_signature": lambda f: (
        f"{encode(f.header(alg='none'))}.{encode(f.claims())}.AAAA"
    ),
    "wrong_signature": lambda f: _resigned(f, lambda right: bytes([right[0] ^ 1]) + right[1:]),
    "signature_of_zeros": lambda f: _resigned(f, lambda right: bytes(len(right))),  # CVE-2022-21449
    "signature_longer": lambda f: _resigned(f, lambda right: right + b"\0"),
    "changed_payload": lambda f: _swapped(f.good(), f.good(sub="admin")),
    "signature_shorter": lambda f: _resigned(f, lambda right: right[:-1]),
    "own_key_in_header": lambda f: _forged(f, jwk=public_jwk(_attacker(f))),
    "own_key_url_in_header": lambda f: _forged(f, jku="http://127.0.0.1:9/keys"),
    "own_certificate_in_header": lambda f: _forged(f, x5c=["MIIB"], x5u="http://127.0.0.1:9/c"),
    "hs256_with_rsa_public_key": lambda f: confused(f, public_pem(signing_key("RS256"))),
    "hs256_with_empty_secret": lambda f: confused(f, b""),
}


def needs_of(name: str) -> frozenset[str]:
    """Return what the tokens of an application must have for a row to be a fault.

    `signing` means that the application's own key signs it; `issuer`, `audience` and `type` mean
    that the application's good tokens have `iss`, `aud` or `typ`.
    """
    about = _RULES & {*name.split("_")} if name in _OF_RULES else frozenset[str]()
    is_forgery = name in FORM_FAULTS or name in KID_FAULTS or "alg" in name.split("_")
    is_signed = not is_forgery or name == "oversized"
    return about | {"signing"} if is_signed else about


_RULES: Final = frozenset({"issuer", "audience", "type"})
_OF_RULES: Final = CLAIM_FAULTS.keys() | HEADER_FAULTS.keys()


def _claims_fault(change: Callable[[int], dict[str, object]]) -> BadToken:
    return lambda factory: factory.good(**change(factory.now))


def _header_fault(change: dict[str, object]) -> BadToken:
    return lambda factory: factory.sign(factory.header(**change), factory.claims())


def _spoilt_header(spoil: Callable[[str], bytes]) -> BadToken:
    return lambda factory: factory.sign(spoil(json.dumps(factory.header())), factory.claims())


def _spoilt_payload(spoil: Callable[[str], bytes]) -> BadToken:
    return lambda factory: factory.sign(factory.header(), spoil(json.dumps(factory.claims())))


BAD_TOKENS: Final[dict[str, BadToken]] = (
    FORM_FAULTS
    | KID_FAULTS
    | {name: _claims_fault(change) for name, change in CLAIM_FAULTS.items()}
    | {name: _header_fault(change) for name, change in HEADER_FAULTS.items()}
    | {f"header_{name}": _spoilt_header(spoil) for name, spoil in JSON_FAULTS.items()}
    | {f"payload_{name}": _spoilt_payload(spoil) for name, spoil in JSON_FAULTS.items()}
)


def confused(factory: TokenFactory, secret: bytes, **header: object) -> str:
    """Return a token signed by HS256 with a public key (CVE-2016-10555): algorithm confusion."""
    message = f"{encode(factory.header(**header, alg='HS256'))}.{encode(factory.claims())}"
    return f"{message}.{encode(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def _more(text: str, members: bytes) -> bytes:
    """Return a JSON object with members added."""
    return text[:-1].encode() + b", " + members + b"}"


def _respelt(token: str) -> str:
    """Return another spelling of the last character: a lenient decoder sees no change."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def _resigned(factory: TokenFactory, change: Callable[[bytes], bytes]) -> str:
    """Return a good token with the bytes of its signature changed."""
    message, _, signature = factory.good().rpartition(".")
    return f"{message}.{encode(change(decode(signature)))}"


def _swapped(good: str, wanted: str) -> str:
    """Return a token with the signature of one and the claims of another."""
    header, _, signature = good.split(".")
    return f"{header}.{wanted.split('.')[1]}.{signature}"


def _attacker(factory: TokenFactory) -> SigningKey:
    """Return a key of the same kind that is not the server's."""
    return signing_key(factory.key.algorithm, "attacker")


def _forged(factory: TokenFactory, **header: object) -> str:
    """Return a token signed with the attacker's key, which its header offers."""
    forger = dataclasses.replace(factory, key=_attacker(factory))
    return forger.sign(factory.header(**header), factory.claims())
