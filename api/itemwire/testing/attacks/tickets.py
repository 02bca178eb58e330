"""Attacks with one-time tickets: used, shared, forged, or taken to another place."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from itemwire.testing.knocks import Knock
from itemwire.testing.model import Attack, Door, Fault, Make

PAGE: Final = "https://shop.example.com"
RIVALS: Final = 8

_ONCE: Final = "RFC 9700 section 4.3.2: a URL is seen by others, so what it carries is good once"
_BOUND: Final = "a ticket is good where it was asked for, and nowhere else"
_FORGED: Final = "CWE-330: nobody guesses a ticket, and nothing else passes for one"
_TWO: Final = "ASVS 5.0 15.3.7: of two credentials, two readers may pick different ones"


def _fresh(door: Door) -> Knock:
    return door.with_ticket(door.ticket())


def _used(door: Door) -> Knock:
    return door.enter(_fresh(door))


def _raced(door: Door) -> Knock:
    return replace(_fresh(door), at_once=RIVALS)


def _twice(door: Door) -> Knock:
    ticket = door.ticket()
    return door.with_ticket(f"{ticket}&{door.with_ticket(ticket).target.partition('?')[2]}")


def _beside_another(door: Door) -> Knock:
    mallory = door.token(sub="mallory")
    return door.route.sources[0].present(_fresh(door), mallory)


def _for_item(suffix: str) -> Make:
    return lambda door: door.with_ticket(door.ticket(item=door.route.item + suffix))


def _from(origin: str | None) -> Make:
    """Present a ticket of one page from another one, or from none."""

    def make(door: Door) -> Knock:
        knock = door.with_ticket(door.ticket(origin=PAGE))
        return knock if origin is None else knock.header("Origin", origin)

    return make


def _row(
    name: str,
    make: Make,
    why: str,
    *,
    twin: Make = _fresh,
    fault: Fault = Fault.TICKET,
    needs: frozenset[str] = frozenset(),
) -> Attack:
    return Attack(f"ticket_{name}", fault, make, twin, needs | {"tickets"}, why)


TICKETS: Final = (
    _row("used_again", _used, _ONCE),
    _row("raced", _raced, _ONCE),
    _row("twice", _twice, _TWO, fault=Fault.CREDENTIAL),
    _row("beside_token_of_another", _beside_another, _TWO, fault=Fault.CREDENTIAL),
    _row("garbage", lambda door: door.with_ticket("garbage"), _FORGED),
    _row("unknown", lambda door: door.with_ticket("A" * 43), _FORGED),
    _row("changed", lambda door: door.with_ticket(door.ticket()[:-1]), _FORGED),
    _row("token_for_it", lambda door: door.with_ticket(door.token()), _FORGED),
    _row(
        "of_another_item",
        _for_item("-other"),
        _BOUND,
        twin=_for_item(""),
        needs=frozenset({"item"}),
    ),
    _row("from_another_origin", _from("https://evil.example.net"), _BOUND, twin=_from(PAGE)),
    _row("from_no_origin", _from(None), _BOUND, twin=_from(PAGE)),
    _row("from_null_origin", _from("null"), _BOUND, twin=_from(PAGE)),
)
