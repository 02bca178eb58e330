"""Attacks with revoked tokens: they were good, and must not be accepted any more."""

from __future__ import annotations

import secrets
from typing import Final

from itemwire.testing.attacks.credentials import PLACES
from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import RawHandshake
from itemwire.testing.routes import Place

_WHY: Final = "ASVS 5.0 7.4.1: a session that was terminated cannot be used again"


def _revoked(place: Place) -> Attack:
    """Repeat a handshake that was accepted, after its token was revoked."""

    def make(endpoint: Endpoint) -> RawHandshake:
        token_id = secrets.token_urlsafe(12)
        handshake = endpoint.enter(endpoint.with_token(endpoint.token(jti=token_id), place))
        endpoint.revoke(token_id)
        return handshake

    return Attack(
        f"{place}_revoked",
        Fault.REVOKED,
        make,
        lambda endpoint: endpoint.with_token(endpoint.token(jti=secrets.token_urlsafe(12)), place),
        frozenset({place, "revoke", "signing"}),
        _WHY,
    )


def _ticket_of_revoked(endpoint: Endpoint) -> RawHandshake:
    token_id = secrets.token_urlsafe(12)
    ticket = endpoint.ticket(endpoint.token(jti=token_id))
    endpoint.revoke(token_id)
    return endpoint.with_ticket(ticket)


REVOCATIONS: Final = (
    *map(_revoked, PLACES),
    Attack(
        "ticket_of_revoked_token",
        Fault.REVOKED,
        _ticket_of_revoked,
        lambda endpoint: endpoint.with_ticket(endpoint.ticket()),
        frozenset({"tickets", "revoke", "signing"}),
        "a ticket that was made before the revocation is no way around it",
    ),
)
