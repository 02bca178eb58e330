"""Attacks with what was taken back: it was good, and must not open anything any longer."""

from __future__ import annotations

import secrets
from typing import Final

from itemwire.testing.attacks.credentials import PLACES
from itemwire.testing.knocks import Knock
from itemwire.testing.model import Attack, Door, Fault
from itemwire.testing.routes import Place

_WHY: Final = "ASVS 5.0 7.4.1: who has been logged out cannot come back"


def _revoked(place: Place) -> Attack:
    """Come back with a token that opened the route until it was taken back."""

    def make(door: Door) -> Knock:
        token_id = secrets.token_urlsafe(12)
        knock = door.enter(door.with_token(door.token(jti=token_id), place))
        door.revoke(token_id)
        return knock

    return Attack(
        f"{place}_revoked",
        Fault.REVOKED,
        make,
        lambda door: door.with_token(door.token(jti=secrets.token_urlsafe(12)), place),
        frozenset({place, "revoke"}),
        _WHY,
    )


def _ticket_of_revoked(door: Door) -> Knock:
    token_id = secrets.token_urlsafe(12)
    ticket = door.ticket(door.token(jti=token_id))
    door.revoke(token_id)
    return door.with_ticket(ticket)


REVOCATIONS: Final = (
    *map(_revoked, PLACES),
    Attack(
        "ticket_of_revoked_token",
        Fault.REVOKED,
        _ticket_of_revoked,
        lambda door: door.with_ticket(door.ticket()),
        frozenset({"tickets", "revoke"}),
        "a ticket made in time is no way round it",
    ),
)
