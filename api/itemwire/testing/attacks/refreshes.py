"""Attacks from inside: a bad token is offered on an open connection."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import RawHandshake
from itemwire_auth.testing import Severity, needs_of, severity_of

_WHY: Final = "ASVS 5.0 7.2.1: a token is verified in full on a refresh, too"

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


def _offered(endpoint: Endpoint, token: str) -> RawHandshake:
    return replace(endpoint.good(), offer_inside=token)


def _good(endpoint: Endpoint) -> RawHandshake:
    return _offered(endpoint, endpoint.token())


def _row(
    name: str,
    token: Callable[[Endpoint], str],
    *needs: str,
    why: str = _WHY,
    severity: Severity = Severity.HOLE,
) -> Attack:
    return Attack(
        f"refresh_{name}",
        Fault.REFRESH,
        lambda endpoint: _offered(endpoint, token(endpoint)),
        _good,
        frozenset({"refresh", *needs}),
        why,
        severity,
    )


def _bad(fault: str) -> Attack:
    return _row(
        fault, lambda endpoint: endpoint.bad(fault), *needs_of(fault), severity=severity_of(fault)
    )


def _revoked(endpoint: Endpoint) -> str:
    token_id = secrets.token_urlsafe(12)
    endpoint.revoke(token_id)
    return endpoint.token(jti=token_id)


REFRESHES: Final = (
    *map(_bad, FAULTS),
    _row("empty", lambda _: ""),
    _row(
        "of_another",
        lambda endpoint: endpoint.token(sub="mallory"),
        "signing",
        why="a connection belongs to one caller: a refresh must not change the subject",
    ),
    _row(
        "without_the_right",
        lambda endpoint: endpoint.narrow(f"{endpoint.route.item}-other"),
        "narrow",
        why="ASVS 5.0 8.3.1: a loss of rights takes effect at once",
    ),
    _row("revoked", _revoked, "revoke"),
)
