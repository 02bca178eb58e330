"""A fixed set of keys, from a secret or a file; weak keys are refused at start-up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from typing_extensions import override

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import ALGORITHMS, SigningKey, VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.jwk import (
    is_for,
    parse_signing_key,
    parse_verification_key,
    read_set_file,
)
from itemwire_auth.keys.strength import ADVICE, refuse_weak_secret


class StaticKeys(KeySource):
    """A fixed set of keys, found by the exact text of their `kid`."""

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        listed = list(keys)
        _refuse_mixed_families(listed)
        _refuse_ambiguous_kids(listed)
        self._only = listed[0] if len(listed) == 1 else None
        self._by_kid = {key.kid: key for key in listed}

    @override
    def find(self, kid: str | None) -> VerificationKey | None:
        """Return the key with this `kid`; a token without `kid` means the only key there is."""
        # An unknown kid never falls back to another key: the tokens of a retired key would be
        # tried against its successor, and a guess would count as an answer.
        return self._only if kid is None else self._by_kid.get(kid)

    def renewed(self, keys: Iterable[VerificationKey]) -> StaticKeys:
        """Return the set of these keys, in which a key that is here already is the same object.

        A verified token is remembered for as long as `find` returns the object that verified it.
        """
        return StaticKeys(map(self._same_object, keys))

    def _same_object(self, key: VerificationKey) -> VerificationKey:
        known = self._by_kid.get(key.kid)
        return known if known is not None and known == key else key

    def __len__(self) -> int:
        return len(self._by_kid)

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self._by_kid.values())


def keys_from_secret(secret: str) -> StaticKeys:
    """Return a set of one HS256 key, or raise KeyProblem if the secret is weak."""
    return StaticKeys([signing_key_from_secret(secret).verification_key()])


def keys_from_file(path: Path, algorithms: Collection[str] = tuple(ALGORITHMS)) -> StaticKeys:
    """Return the keys of a JWK Set file, or raise KeyProblem naming the key that is refused."""
    return StaticKeys(
        parse_verification_key(label, jwk, algorithms) for label, jwk in read_set_file(path)
    )


def signing_key_from_secret(secret: str) -> SigningKey:
    """Return an HS256 key that signs, or raise KeyProblem if the secret is weak."""
    try:
        key = secret.encode("utf-8")
    except UnicodeEncodeError:
        raise KeyProblem(f"the secret is not valid text; {ADVICE}") from None
    refuse_weak_secret("the secret", key, "HS256")
    return SigningKey(None, "HS256", key)


def signing_key_from_file(path: Path, kid: str | None = None) -> SigningKey:
    """Return the key of a JWK Set file that can sign; `kid` says which if there are several."""
    wanted = [
        parse_signing_key(label, jwk)
        for label, jwk in read_set_file(path)
        if is_for("sign", jwk) and kid in (None, jwk.get("kid"))
    ]
    keys = [key for key in wanted if key is not None]
    if not keys:
        missing = "no key" if kid is None else f"no key with kid {kid!r}"
        raise KeyProblem(f"{path} has {missing} that can sign: it needs a JWK with `k` or `d`")
    if len(keys) > 1:
        names = ", ".join(str(key.kid) for key in keys)
        raise KeyProblem(f"{path} has several keys that can sign: name one of {names}")
    return keys[0]


def _refuse_mixed_families(keys: list[VerificationKey]) -> None:
    """Refuse secrets and public keys in one set: half of every algorithm confusion attack."""
    if len({isinstance(key.key, bytes) for key in keys}) > 1:
        raise KeyProblem("the key set mixes secrets (oct) and public keys: use one kind only")


def _refuse_ambiguous_kids(keys: list[VerificationKey]) -> None:
    """Refuse sets in which a token could not say which key it means."""
    kids = [key.kid for key in keys]
    if len(keys) > 1 and None in kids:
        raise KeyProblem(
            f"key {kids.index(None) + 1} of {len(keys)} has no kid: give each key its own"
        )
    if repeated := {kid for kid in kids if kids.count(kid) > 1}:
        raise KeyProblem(f"the key set has a kid twice: {sorted(map(str, repeated))}; rename one")
