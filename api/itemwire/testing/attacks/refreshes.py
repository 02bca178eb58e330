"""Attacks from inside: a token that is not good for it is offered on an open connection."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from itemwire.testing.knocks import Knock
from itemwire.testing.model import Attack, Door, Fault
from itemwire_auth.testing import BAD_TOKENS

_WHY: Final = "ASVS 5.0 7.2.1: a token is verified wherever it comes in, a refresh is no short cut"

FAULTS: Final = (
    "garbage",
    "expired",
    "not_yet_valid",
    "no_exp",
    "wrong_signature",
    "changed_payload",
    "unsigned",
    "alg_none",
    "wrong_issuer",
    "wrong_audience",
)


def _offered(door: Door, token: str) -> Knock:
    return replace(door.good(), offer_inside=token)


def _good(door: Door) -> Knock:
    return _offered(door, door.token())


def _row(name: str, token: Callable[[Door], str], *needs: str, why: str = _WHY) -> Attack:
    return Attack(
        f"refresh_{name}",
        Fault.REFRESH,
        lambda door: _offered(door, token(door)),
        _good,
        frozenset({"refresh", *needs}),
        why,
    )


def _bad(fault: str) -> Attack:
    return _row(fault, lambda door: BAD_TOKENS[fault](door.route.tokens))


def _revoked(door: Door) -> str:
    token_id = secrets.token_urlsafe(12)
    door.revoke(token_id)
    return door.token(jti=token_id)


REFRESHES: Final = (
    *map(_bad, FAULTS),
    _row("empty", lambda _: ""),
    _row(
        "of_another",
        lambda door: door.token(sub="mallory"),
        why="a connection is one caller's: what was begun as one must not go on as another",
    ),
    _row(
        "without_the_right",
        lambda door: door.narrow(f"{door.route.item}-other"),
        "narrow",
        why="ASVS 5.0 8.3.1: rights that are lost are lost at once",
    ),
    _row("revoked", _revoked, "revoke"),
)
