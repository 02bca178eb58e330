"""Attacks with one-time tickets: used twice, forged, or presented in another place."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault, Make
from itemwire.testing.raw_handshakes import RawHandshake
from itemwire_auth.testing import Severity

PAGE: Final = "https://shop.example.com"
RIVALS: Final = 8

_ONCE: Final = "RFC 9700 section 4.3.2: URLs leak, so a credential in one must work only once"
_BOUND: Final = "a ticket works for the item and origin it was made for, and for no other"
_FORGED: Final = "CWE-330: a ticket cannot be guessed, and nothing else is accepted as one"
_TWO: Final = "ASVS 5.0 15.3.7: of two credentials, two readers may pick different ones"


def _fresh(endpoint: Endpoint) -> RawHandshake:
    return endpoint.with_ticket(endpoint.ticket())


def _used(endpoint: Endpoint) -> RawHandshake:
    return endpoint.enter(_fresh(endpoint))


def _raced(endpoint: Endpoint) -> RawHandshake:
    return replace(_fresh(endpoint), at_once=RIVALS)


def _twice(endpoint: Endpoint) -> RawHandshake:
    ticket = endpoint.ticket()
    return endpoint.with_ticket(f"{ticket}&{endpoint.with_ticket(ticket).target.partition('?')[2]}")


def _beside_another(endpoint: Endpoint) -> RawHandshake:
    mallory = endpoint.token(sub="mallory")
    return endpoint.route.sources[0].present(_fresh(endpoint), mallory)


def _for_item(suffix: str) -> Make:
    return lambda endpoint: endpoint.with_ticket(endpoint.ticket(item=endpoint.route.item + suffix))


def _from(origin: str | None) -> Make:
    """Present a ticket that is bound to PAGE from another origin, or from none."""

    def make(endpoint: Endpoint) -> RawHandshake:
        handshake = endpoint.with_ticket(endpoint.ticket(origin=PAGE))
        return handshake if origin is None else handshake.header("Origin", origin)

    return make


def _row(
    name: str,
    make: Make,
    why: str,
    *,
    twin: Make = _fresh,
    fault: Fault = Fault.TICKET,
    needs: frozenset[str] = frozenset(),
    severity: Severity = Severity.HOLE,
) -> Attack:
    return Attack(f"ticket_{name}", fault, make, twin, needs | {"tickets"}, why, severity)


TICKETS: Final = (
    _row("used_again", _used, _ONCE),
    _row("raced", _raced, _ONCE),
    _row("twice", _twice, _TWO, fault=Fault.CREDENTIAL, severity=Severity.WEAKNESS),
    _row(
        "beside_token_of_another",
        _beside_another,
        _TWO,
        fault=Fault.CREDENTIAL,
        needs=frozenset({"signing"}),
        severity=Severity.RULE,
    ),
    _row("garbage", lambda endpoint: endpoint.with_ticket("garbage"), _FORGED),
    _row("unknown", lambda endpoint: endpoint.with_ticket("A" * 43), _FORGED),
    _row("changed", lambda endpoint: endpoint.with_ticket(endpoint.ticket()[:-1]), _FORGED),
    _row("token_for_it", lambda endpoint: endpoint.with_ticket(endpoint.token()), _FORGED),
    _row(
        "of_another_item",
        _for_item("-other"),
        _BOUND,
        twin=_for_item(""),
        needs=frozenset({"item"}),
    ),
    _row("from_another_origin", _from("https://evil.example.net"), _BOUND, twin=_from(PAGE)),
    _row("from_no_origin", _from(None), _BOUND, twin=_from(PAGE), severity=Severity.WEAKNESS),
    _row("from_null_origin", _from("null"), _BOUND, twin=_from(PAGE)),
)
