"""Parses keys and sets of keys as JSON (JWK, RFC 7517), and refuses weak ones."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final, TypeAlias, cast

from jwt import PyJWK

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import (
    ALGORITHMS,
    PrivateKey,
    PublicKey,
    SigningKey,
    VerificationKey,
    public_half,
)
from itemwire_auth.keys.strength import refuse_weak_pair, refuse_weak_secret
from itemwire_auth.plain_text import decode_text, read_text_file
from itemwire_auth.strict_json import CLOSING, OPENING, STRING_OR_BRACKET, parse_object

JWK: TypeAlias = dict[str, object]

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_MEMBER_DEPTH: Final = 3  # of brackets: the set, its list, a member
_SHOWN: Final = 40  # characters of a kid, which may be anything
_KEY_MEMBERS: Final = ("k", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y")


def read_set_file(path: Path) -> list[tuple[str, object]]:
    """Return each member of a JWK Set file with a label for messages, or raise KeyProblem."""
    source = f"the keys file {path}"
    try:
        data = decode_text(read_text_file(path), source).encode()
    except OSError as error:
        raise KeyProblem(f"cannot read {source}: {error.strerror}") from error
    except ValueError as error:
        raise KeyProblem(str(error)) from None
    return read_set(data, source)


def read_set(data: bytes, source: str) -> list[tuple[str, object]]:
    """Return each member of a JWK Set (RFC 7517 section 5) with a label for error messages.

    A member may be anything: `jwk_of` refuses one that is no key, and so spoils no other.
    """
    try:
        outer, members = _apart(data)
        keys = parse_object(outer.encode()).get("keys")
    except ValueError as error:
        raise KeyProblem(f"{source} must be a JWK Set, but {error}") from None
    if not isinstance(keys, list) or not keys:
        raise KeyProblem(f'{source} must be a JWK Set with at least one key: {{"keys": [{{…}}]}}')
    listed = [_member(place, members) for place in cast("list[object]", keys)]
    return [
        (f"key {number} of {source}{_kid_of(key)}", key) for number, key in enumerate(listed, 1)
    ]


def _apart(data: bytes) -> tuple[str, list[str]]:
    """Cut the members out of the text of a set, so that each is parsed by itself.

    In the place of each is an object that says which it was; no other object is left in a list.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    outer: list[str] = []
    members: list[str] = []
    depth = begin = kept = 0
    for match in STRING_OR_BRACKET.finditer(text):
        if match[0] in OPENING:
            depth += 1
            if depth == _MEMBER_DEPTH:
                begin = match.start()
        elif match[0] in CLOSING:
            if depth == _MEMBER_DEPTH:
                outer += text[kept:begin], f'{{"": {len(members)}}}'
                members.append(text[begin : match.end()])
                kept = match.end()
            depth -= 1
    return "".join([*outer, text[kept:]]), members


def _member(place: object, members: list[str]) -> object:
    """Return what stood in a place of the list; what cannot be read is the error."""
    if not isinstance(place, dict):
        return place
    text = members[cast("dict[str, int]", place)[""]]
    try:
        return parse_object(text.encode())
    except ValueError as error:
        return error


def _kid_of(member: object) -> str:
    if not isinstance(member, dict):
        return ""
    return f" (kid {repr(cast('JWK', member).get('kid'))[:_SHOWN]})"


def jwk_of(label: str, key: object) -> JWK:
    """Return a member of a JWK Set as a JWK, or raise KeyProblem."""
    if isinstance(key, ValueError):
        raise KeyProblem(f"{label} is refused: {key}")
    if not isinstance(key, dict):
        raise KeyProblem(f"{label} is not a JSON object")
    return cast("JWK", key)


def parse_verification_key(
    label: str, jwk: JWK, algorithms: Collection[str] = tuple(ALGORITHMS)
) -> VerificationKey:
    """Return the key that verifies tokens with one of the algorithms, or raise KeyProblem."""
    if not is_for("verify", jwk):
        raise KeyProblem(
            f'{label} is not for verifying tokens: set use to "sig" and let key_ops contain '
            '"verify", or leave both out; or remove the key'
        )
    kid, algorithm, key = _parse(jwk, label, algorithms)
    return VerificationKey(kid, algorithm, public_half(key))


def parse_signing_key(label: str, jwk: JWK) -> SigningKey | None:
    """Return the key that signs tokens; None if it has no private part; or raise KeyProblem."""
    kid, algorithm, key = _parse(jwk, label, tuple(ALGORITHMS))
    return SigningKey(kid, algorithm, key) if isinstance(key, bytes | PrivateKey) else None


def is_for(operation: str, jwk: JWK) -> bool:
    """Return whether a key allows the operation (RFC 7517 sections 4.2 and 4.3)."""
    operations = jwk.get("key_ops", [operation])
    allows = isinstance(operations, list) and operation in operations
    return allows and jwk.get("use", "sig") == "sig"


def _parse(
    jwk: JWK, label: str, algorithms: Collection[str]
) -> tuple[str | None, str, bytes | PrivateKey | PublicKey]:
    """Check and parse one key: its name, its algorithm and the key itself."""
    kid = jwk.get("kid")
    if "kid" in jwk and not (isinstance(kid, str) and kid):
        raise KeyProblem(f"{label} has a kid that is not a non-empty string")
    algorithm = _algorithm_of(jwk, label, algorithms)
    key = _parse_members(jwk, label, algorithm)
    if isinstance(key, bytes):
        refuse_weak_secret(label, key, algorithm)
    else:
        refuse_weak_pair(label, public_half(key), algorithm)
    return kid if isinstance(kid, str) else None, algorithm, key


def _algorithm_of(jwk: JWK, label: str, algorithms: Collection[str]) -> str:
    """Return the one algorithm of a key: its `alg`, or the first allowed one that fits."""
    shape = (jwk.get("kty"), jwk.get("crv"))
    fitting = [name for name, needed in ALGORITHMS.items() if needed == shape]
    if not fitting:
        raise KeyProblem(
            f"{label} has an unsupported type: use RSA, oct, EC (P-256, P-384, P-521) or Ed25519"
        )
    allowed = [name for name in algorithms if name in fitting]
    algorithm = jwk.get("alg", next(iter(allowed), None))
    if "alg" in jwk and algorithm not in fitting:
        raise KeyProblem(f"{label} has an alg that does not fit its type: {', '.join(fitting)} do")
    if algorithm not in allowed:
        raise KeyProblem(f"{label} is for none of the allowed algorithms: {', '.join(algorithms)}")
    return str(algorithm)


def _parse_members(jwk: JWK, label: str, algorithm: str) -> bytes | PrivateKey | PublicKey:
    """Parse the numbers or the secret of a key."""
    for name in _KEY_MEMBERS:
        value = jwk.get(name, "A")
        # A lenient decoder skips unknown characters: a long text would become a short key.
        if not (isinstance(value, str) and _BASE64URL.fullmatch(value)):
            raise KeyProblem(f"{label} has a member {name} that is not base64url")
    try:
        key: bytes | PrivateKey | PublicKey = PyJWK(jwk, algorithm).key
    except Exception:  # noqa: BLE001 - what libraries raise for damage is theirs to choose
        # Some messages of PyJWT show the whole key: neither they nor the cause may travel on.
        raise KeyProblem(
            f"{label} is damaged: its members do not form a key; export it again"
        ) from None
    return key
