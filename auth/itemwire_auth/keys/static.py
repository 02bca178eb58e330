"""A fixed set of keys, from a secret or a file; weak keys are refused at start-up."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from typing_extensions import override

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import ALGORITHMS, SigningKey, VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.jwk import (
    is_for,
    jwk_of,
    parse_signing_key,
    parse_verification_key,
    read_set_file,
)
from itemwire_auth.keys.strength import ADVICE, refuse_weak_secret

LOGGED_LENGTH: Final = 300  # the other side chooses part of what goes wrong

_log: Final = logging.getLogger("itemwire.auth")


class StaticKeys(KeySource):
    """A fixed set of keys, found by the exact text of their `kid`.

    A set may name a `kid` twice, for keys of different algorithms (RFC 7517 section 4.5).
    """

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        listed = unique(keys)
        _refuse_mixed_families(listed)
        _refuse_ambiguous_kids(listed)
        self._listed = listed
        self._only = listed[0] if len(listed) == 1 else None
        # One secret has no name in the settings, though its issuer may have given it one.
        self._has_no_names = (
            self._only is not None and self._only.kid is None and isinstance(self._only.key, bytes)
        )
        kids = {key.kid for key in listed}
        self._by_kid = {kid: [key for key in listed if key.kid == kid] for kid in kids}

    @property
    @override
    def algorithms(self) -> tuple[str, ...]:
        return tuple(key.algorithm for key in self._listed)

    @override
    def find(self, kid: str | None, algorithm: str | None = None, /) -> VerificationKey | None:
        """Return the key with this `kid`; a token without `kid` means the only key there is."""
        # An unknown kid never falls back to another key: the tokens of a retired key would be
        # tried against its successor, and a guess would count as an answer.
        if kid is None or self._has_no_names:
            return self._only
        named = self._by_kid.get(kid, ())
        if len(named) == 1:
            return named[0]
        # Each of them is bound to its one algorithm: the token picks a key, never how it is used.
        return next((key for key in named if key.algorithm == algorithm), None)

    def renewed(self, keys: Iterable[VerificationKey]) -> StaticKeys:
        """Return the set of these keys, in which a key that is here already is the same object.

        A verified token is remembered for as long as `find` returns the object that verified it.
        """
        return StaticKeys(map(self._same_object, keys))

    def _same_object(self, key: VerificationKey) -> VerificationKey:
        return next((known for known in self._by_kid.get(key.kid, ()) if known == key), key)

    def __len__(self) -> int:
        return len(self._listed)

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self._listed)


def keys_from_secret(secret: str) -> StaticKeys:
    """Return a set of one HS256 key, or raise KeyProblem if the secret is weak."""
    return StaticKeys([signing_key_from_secret(secret).verification_key()])


def keys_from_file(path: Path, algorithms: Collection[str] = tuple(ALGORITHMS)) -> StaticKeys:
    """Return the keys of a JWK Set file, or raise KeyProblem naming the key that is refused."""
    left_out: list[str] = []
    parse = partial(_parse, algorithms=algorithms)
    keys = usable(read_set_file(path), parse, f"the keys file {path}", left_out)
    for problem in left_out:
        _log.warning("keys_file_key_left_out detail=%.*r", LOGGED_LENGTH, problem)
    return StaticKeys(keys)


def usable(
    listed: Iterable[tuple[str, object]],
    parse: Callable[[str, object], VerificationKey],
    source: str,
    left_out: list[str],
) -> list[VerificationKey]:
    """Return the keys of a set that verify tokens, and add why the others are `left_out`.

    One bad member spoils no other (RFC 7517 section 5). Raises KeyProblem where none is good.
    """
    parsed: list[VerificationKey] = []
    for label, member in listed:
        try:
            parsed.append(parse(label, member))
        except KeyProblem as problem:
            left_out.append(str(problem))
    keys = _tellable(unique(parsed), source, left_out)
    if not keys:
        more = f" (and {len(left_out) - 1} more)" if left_out[1:] else ""
        raise KeyProblem(f"{source} has no usable key: {left_out[0]}{more}")
    return keys


def _parse(label: str, member: object, algorithms: Collection[str]) -> VerificationKey:
    return parse_verification_key(label, jwk_of(label, member), algorithms)


def _tellable(
    keys: list[VerificationKey], source: str, left_out: list[str]
) -> list[VerificationKey]:
    """Return the keys that a token can name; among two that it cannot, any would be a guess."""
    if len(keys) == 1:
        return keys
    ambiguous = conflicting(keys)
    for key in keys:
        if key.kid is None:
            left_out.append(f"an {key.algorithm} key of {source} has no kid, of several")
        elif key in ambiguous:
            left_out.append(f"{source} has kid {key.kid!r} twice for {key.algorithm}: rename one")
    return [key for key in keys if key.kid is not None and key not in ambiguous]


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
    members = [(label, jwk_of(label, member)) for label, member in read_set_file(path)]
    wanted = [
        parse_signing_key(label, jwk)
        for label, jwk in members
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


def unique(keys: Iterable[VerificationKey]) -> list[VerificationKey]:
    """Return the keys without those that are listed a second time, with every member equal."""
    listed: list[VerificationKey] = []
    for key in keys:
        if key not in listed:
            listed.append(key)
    return listed


def conflicting(keys: Sequence[VerificationKey]) -> list[VerificationKey]:
    """Return the keys that neither `kid` nor algorithm tells from another one."""
    counts = Counter((key.kid, key.algorithm) for key in keys)
    return [key for key in keys if counts[key.kid, key.algorithm] > 1]


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
    if repeated := {key.kid for key in conflicting(keys)}:
        raise KeyProblem(
            f"the key set has a kid twice for one algorithm: {sorted(map(str, repeated))}; "
            "rename one"
        )
