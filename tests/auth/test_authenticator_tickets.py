"""Tests of authenticator.py: tickets among the other credentials, spent last."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

import pytest

from itemwire_auth.addresses import Caller
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.errors import (
    AuthError,
    DisagreeingCredentials,
    InvalidTicket,
    InvalidToken,
    RateLimited,
    RevokedToken,
    Unavailable,
)
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.revocation import Revocation
from itemwire_auth.testing import TokenFactory
from itemwire_auth.throttle import Throttle, ThrottleRules
from itemwire_auth.tickets import Tickets
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import NOW
from tests.auth.handshakes import Headers
from tests.auth.test_authenticator import APP, authenticate
from tests.auth.test_tickets import Away, Store


@pytest.fixture
def authenticator(verifier: TokenVerifier) -> Authenticator:
    """Give an authenticator that trusts the pages of one origin, and makes no tickets."""
    return Authenticator(verifier, OriginPolicy([APP]))


@pytest.fixture
def tickets() -> Tickets:
    """Give tickets in a store of their own."""
    return Tickets(Store(), clock=lambda: NOW)


@pytest.fixture
def at_the_door(authenticator: Authenticator, tickets: Tickets) -> Authenticator:
    """Give the authenticator that takes these tickets."""
    return replace(authenticator, tickets=tickets)


def ticket_for(
    at_the_door: Authenticator, token: str, item_id: str | None = None, origin: str | None = None
) -> str:
    """Change a token for a ticket."""
    assert at_the_door.tickets is not None
    principal = at_the_door.verifier.verify(token)
    made = at_the_door.tickets.make(principal, item_id=item_id, origin=origin)
    return asyncio.run(made).value


def test_takes_a_ticket_in_place_of_its_token(
    at_the_door: Authenticator, factory: TokenFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The same caller and rights, once; the log says by which source (requirements 22, 104)."""
    token = factory.good(jti="t1")
    ticket = ticket_for(at_the_door, token, "42", APP)

    with caplog.at_level(logging.INFO, "itemwire.auth"):
        principal = authenticate(at_the_door, f"ticket={ticket}", [("Origin", APP)])

    assert principal == at_the_door.verifier.verify(token)
    (record,) = caplog.records
    assert "source=ticket" in record.getMessage()
    assert ticket not in record.getMessage()
    with pytest.raises(InvalidTicket) as refused:
        authenticate(at_the_door, f"ticket={ticket}", [("Origin", APP)])
    assert refused.value.source == "ticket"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param("&token=garbage", [], id="bad-token"),
        pytest.param("&token=", [], id="empty-token"),
        pytest.param("&ticket=another", [], id="two-tickets"),
        pytest.param("", [("Authorization", "Bearer x")], id="bad-header"),
        pytest.param("", [("Cookie", "session=x"), ("Origin", APP)], id="bad-cookie"),
        pytest.param("", [("Cookie", "session=x"), ("Origin", "https://e.test")], id="foreign"),
    ],
)
def test_does_not_spend_a_ticket_beside_what_is_refused(
    query: str, headers: Headers, at_the_door: Authenticator, factory: TokenFactory
) -> None:
    """It is taken last: what is known to be refused does not cost the client its ticket."""
    ticket = ticket_for(at_the_door, factory.good())

    with pytest.raises(AuthError):
        authenticate(at_the_door, f"ticket={ticket}{query}", headers)

    assert authenticate(at_the_door, f"ticket={ticket}").subject == "alice"


@pytest.mark.parametrize(
    ("caller", "is_spent"),
    [
        pytest.param("192.0.2.7", False, id="address"),
        pytest.param(("https://issuer.test", "alice"), True, id="name"),
    ],
)
def test_a_ticket_outlasts_a_throttle_that_knows_the_address(
    caller: Caller, is_spent: bool, at_the_door: Authenticator, factory: TokenFactory
) -> None:
    """Who it names is known once it is taken, and not before: then it is gone."""
    now = [0.0]
    throttle = Throttle(ThrottleRules(0, 5), lambda: now[0])
    door = replace(at_the_door, throttle=throttle)
    ticket = ticket_for(door, factory.good())
    for _ in range(5):
        throttle.count(caller, InvalidToken("signature", "bad"))

    with pytest.raises(RateLimited):
        authenticate(door, f"ticket={ticket}")

    now[0] = 300.0
    if is_spent:
        with pytest.raises(InvalidTicket):
            authenticate(door, f"ticket={ticket}")
    else:
        assert authenticate(door, f"ticket={ticket}").subject == "alice"


def test_a_ticket_ranks_before_the_query_and_after_the_header(
    at_the_door: Authenticator, factory: TokenFactory
) -> None:
    """All must name one caller; the first of them says what it may do (requirement 24)."""
    first, second, third = (factory.good(jti=str(rank)) for rank in (1, 2, 3))
    tickets = [ticket_for(at_the_door, second) for _ in range(2)]
    of_bob = ticket_for(at_the_door, factory.good(sub="bob"))
    header = [("Authorization", f"Bearer {first}")]

    assert authenticate(at_the_door, f"token={third}&ticket={tickets[0]}").token_id == "2"
    assert authenticate(at_the_door, f"ticket={tickets[1]}", header).token_id == "1"
    with pytest.raises(DisagreeingCredentials):
        authenticate(at_the_door, f"ticket={of_bob}", header)


def test_a_ticket_is_refused_where_there_are_none(
    authenticator: Authenticator, factory: TokenFactory
) -> None:
    """It is a credential that was presented, and nothing stands in for it."""
    for query in ("ticket=a", f"ticket=a&token={factory.good()}"):
        with pytest.raises(InvalidTicket):
            authenticate(authenticator, query)


def test_a_ticket_is_refused_while_the_store_is_away(authenticator: Authenticator) -> None:
    """Fail closed, and say that it is no fault of the ticket."""
    away = replace(authenticator, tickets=Tickets(Away(), clock=lambda: NOW))

    with pytest.raises(Unavailable):
        authenticate(away, f"ticket={'A' * 43}")


def test_tokens_in_the_query_can_be_turned_off(
    at_the_door: Authenticator, factory: TokenFactory
) -> None:
    """What stands in a URL is then good once only (requirement 22)."""
    strict, token = replace(at_the_door, query_tokens=False), factory.good()

    with pytest.raises(InvalidToken) as refused:
        authenticate(strict, f"token={token}")
    assert (refused.value.check, refused.value.source) == ("source", "query")
    assert authenticate(strict, f"ticket={ticket_for(strict, token)}").subject == "alice"
    assert authenticate(strict, headers=[("Authorization", f"Bearer {token}")]).subject == "alice"


def test_a_ticket_goes_with_its_token(at_the_door: Authenticator, factory: TokenFactory) -> None:
    """A token that is taken back leaves no ticket behind that still lets in (requirement 70)."""
    ticket = ticket_for(at_the_door, factory.good(jti="t1"))
    other = ticket_for(at_the_door, factory.good(jti="t2"))
    at_the_door.revocations.add(Revocation(time.time() + 3600, token_id="t1"))

    with pytest.raises(RevokedToken):
        authenticate(at_the_door, f"ticket={ticket}")
    assert authenticate(at_the_door, f"ticket={other}").token_id == "t2"
