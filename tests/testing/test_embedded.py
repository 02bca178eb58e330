"""The attack catalogue on an application that has channels in it, and users of its own."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from typing_extensions import override

from itemwire.testing import (
    LiveServer,
    Source,
    Ticketing,
    attacks_for,
    faults,
    itemwire_route,
    run_attacks,
)
from itemwire.testing.servers import live_application
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.fakes.host_ways import Host, Logins, host_with_ways

pytestmark = pytest.mark.server

ITEM: Final = "order:7"

# Starlette takes the quotes off a cookie, as it does for the host's own routes.
OF_STARLETTE: Final = {"cookie_spelt_quoted": "let_in"}

WAYS: Final[dict[str, tuple[Source, dict[str, str]]]] = {
    "cookie": (Source("cookie", "sid"), OF_STARLETTE),
    "key_header": (Source("header", "X-API-Key"), {}),
    "key_query": (Source("query", "api_key"), {}),
}


@dataclass(frozen=True, slots=True)
class Secrets(TokenFactory):
    """Makes secrets of the host in place of tokens: one with a fault is one that is not known."""

    logins: Logins = field(kw_only=True)

    @override
    def good(self, **claims: object) -> str:
        # Three parts, so that the catalogue finds something to spoil.
        secret = ".".join(secrets.token_hex(12) for _ in range(3))
        if not claims:
            self.logins.begin(secret, "7")
        return secret


@pytest.fixture(scope="module")
def tokens() -> TokenFactory:
    """Give what makes the tokens of the channels that take JWTs."""
    return TokenFactory(signing_key_from_secret(new_secret()))


@pytest.fixture(scope="module")
def host(tokens: TokenFactory) -> Host:
    """Give a host application."""
    return host_with_ways(
        tokens, time.time, admin=True, slow_after_refusals=0, stop_after_refusals=0
    )


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[LiveServer]:
    """Run the host application."""
    with live_application(host.app) as running:
        yield running


def test_withstands_all_of_it_with_tokens(server: LiveServer, tokens: TokenFactory) -> None:
    """As an application of its own does, tickets, revocations and refreshes too."""
    own = itemwire_route(
        tokens, path="/jwt/items/{item}/ws", tickets=True, revocations=True, refreshing=True
    )
    assert own.tickets is not None
    assert own.revoke is not None
    make, revoke = own.tickets.make, own.revoke
    route = replace(
        own,
        item=ITEM,
        tickets=Ticketing(lambda url, *asked: make(f"{url}/jwt", *asked)),
        revoke=lambda url, token_id: revoke(f"{url}/jwt", token_id),
    )
    reports = run_attacks(server, attacks_for(route))

    assert len(reports) > 400
    assert faults(reports) == {}


@pytest.mark.parametrize("way", list(WAYS))
def test_withstands_what_there_is_without_tokens(server: LiveServer, host: Host, way: str) -> None:
    """The ways of a handshake, of a credential and of an origin, by a secret in a database."""
    source, known = WAYS[way]
    own = Secrets(signing_key_from_secret(new_secret()), logins=host.logins)
    route = replace(
        itemwire_route(own, path=f"/{way}/items/{{item}}/ws"),
        item=ITEM,
        sources=(source,),
        narrow=None,
    )
    reports = run_attacks(server, attacks_for(route))

    assert len(reports) > 200
    assert faults(reports) == known
