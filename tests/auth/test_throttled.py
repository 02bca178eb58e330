"""Tests of the throttle in its two places: before all checks, and after every refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Security
from typing_extensions import override
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.dependencies import (
    CurrentPrincipal,
    administrator,
    from_own_page,
    permitted,
    sent_bearer,
    without_ticket,
)
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.state import install_state
from itemwire_auth.testing import BAD_TOKENS, TokenFactory
from itemwire_auth.throttle import Throttle, ThrottleRules
from itemwire_auth.tokens.verifier import TokenVerifier

Status = tuple[int, str]


class CountingVerifier(TokenVerifier):
    """Counts the tokens it was given."""

    given = 0

    @override
    def verify(self, token: str) -> Principal:
        self.given += 1
        return super().verify(token)


class Site:
    """A small application with a throttle: stops at 5 refusals a minute, slows at 3."""

    def __init__(self, factory: TokenFactory) -> None:
        self.factory = factory
        self.now = 0.0
        self.pauses: list[float] = []
        keys = StaticKeys([factory.key.verification_key()])
        self.verifier = CountingVerifier(keys, factory.rules, clock=factory.clock)
        throttle = Throttle(ThrottleRules(3, 5), lambda: self.now, lambda: 0.5, self.pause)
        self.app = FastAPI()
        install_state(self.app, Authenticator(self.verifier, OriginPolicy([]), throttle=throttle))

        @self.app.get("/me")
        async def me(principal: CurrentPrincipal) -> str:
            return principal.subject

        @self.app.get("/items/{item_id}")
        async def item(grant: Annotated[Grant, Security(permitted, scopes=["publish"])]) -> str:
            return grant.item_id

        for door in (sent_bearer, without_ticket, from_own_page, administrator):
            self.app.get(f"/{door.__name__}", dependencies=[Depends(door)])(lambda: "in")

    async def pause(self, seconds: float) -> None:
        """Wait for nothing, and tell."""
        self.pauses.append(seconds)

    def get(
        self, token: str | None, path: str = "/me", host: str = "192.0.2.7", origin: str = ""
    ) -> Status:
        """Ask, as a client at this address."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(host, 50000))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                headers |= {"Origin": origin} if origin else {}
                return await client.get(path, headers=headers)

        response = asyncio.run(ask())
        body = response.json()
        return response.status_code, body["detail"] if isinstance(body, dict) else body


@pytest.fixture
def site(factory: TokenFactory) -> Site:
    """Return an application with a throttle."""
    return Site(factory)


BAD: dict[str, Callable[[TokenFactory], str | None]] = {
    "none": lambda _: None,
    "garbage": lambda _: "garbage",
    "signature": BAD_TOKENS["wrong_signature"],
    "expired": BAD_TOKENS["expired"],
}


@pytest.mark.parametrize("kind", BAD)
def test_past_the_second_threshold_no_token_is_looked_at(site: Site, kind: str) -> None:
    """A flood of bad tokens costs no signature, so it delays nobody (requirements 41, 97)."""
    bad = BAD[kind](site.factory)
    for _ in range(5):
        assert site.get(bad)[0] == 401
    given = site.verifier.given

    for _ in range(100):
        assert site.get(bad) == (429, "rate_limited")
        assert site.get(site.factory.good()) == (429, "rate_limited")
    assert site.verifier.given == given
    assert site.get(site.factory.good(), host="192.0.2.8") == (200, "alice")


def test_good_credentials_get_in_below_it_and_are_not_slowed(site: Site) -> None:
    """A client that shares an address with a guesser is let in as before."""
    for _ in range(4):
        site.get("garbage")
    assert len(site.pauses) == 2

    assert site.get(site.factory.good()) == (200, "alice")
    assert len(site.pauses) == 2


@pytest.mark.parametrize(
    ("path", "scope", "origin", "status"),
    [
        pytest.param("/sent_bearer", None, "", 401, id="sent_bearer"),
        pytest.param("/administrator", None, "", 401, id="administrator"),
        pytest.param("/administrator", "items:subscribe", "", 403, id="no-administrator"),
        pytest.param("/without_ticket?ticket=x", "", "", 401, id="without_ticket"),
        pytest.param("/from_own_page", "", "https://evil.test", 403, id="from_own_page"),
    ],
)
def test_every_door_holds_its_refusals_back(
    site: Site, path: str, scope: str | None, origin: str, status: int
) -> None:
    """One that does not is the one to guess at (requirement 97)."""
    token = None if scope is None else site.factory.good(scope=scope)
    statuses = [site.get(token, path, origin=origin)[0] for _ in range(3)]
    twin = path.partition("?")[0]

    assert (statuses, len(site.pauses)) == ([status] * 3, 1)
    assert site.get(site.factory.good(scope="admin", sub="root"), twin) == (200, "in")


def test_who_was_stopped_comes_in_again_when_the_count_has_fallen(site: Site) -> None:
    """Nobody has to do anything for it."""
    for _ in range(5):
        site.get("garbage")
    assert site.get(site.factory.good())[0] == 429

    site.now += 30
    assert site.get(site.factory.good()) == (200, "alice")


def test_who_is_known_is_stopped_by_name_wherever_it_comes_from(site: Site) -> None:
    """Trying items with a good token is counted against its subject, not against its office."""
    curious = site.factory.good(scope="items:7:publish")
    for number in range(5):
        assert site.get(curious, f"/items/{number}") == (403, "forbidden")

    assert site.get(curious, "/items/7", host="198.51.100.1") == (429, "rate_limited")
    assert site.get(site.factory.good(sub="bob"), "/items/7") == (200, "7")


def test_what_is_refused_by_the_applications_own_exceptions_is_told_without_waiting(
    site: Site,
) -> None:
    """The throttle counts what `auth` refuses; an unknown path is nobody's credential."""
    for _ in range(20):
        assert site.get(None, "/nowhere")[0] == 404

    assert site.pauses == []
    assert site.get(site.factory.good()) == (200, "alice")


def test_a_forged_address_is_quoted_in_the_log_and_makes_no_stranger(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """X-Forwarded-For of a trusted proxy may be what the client wrote."""
    behind_proxy = ProxyHeadersMiddleware(site.app, "192.0.2.7")  # type: ignore[arg-type] # uvicorn's own types

    async def ask(forged: str) -> int:
        transport = httpx.ASGITransport(behind_proxy, client=("192.0.2.7", 50000))  # type: ignore[arg-type] # as above
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": "Bearer garbage", "X-Forwarded-For": forged}
            return (await client.get("/me", headers=headers)).status_code

    statuses = [asyncio.run(ask(f"{number} reason=none subject=root")) for number in range(6)]

    assert statuses == [401] * 5 + [429]
    assert "client='0 reason=none subject=root' origin=" in caplog.messages[0]
    assert asyncio.run(ask("198.51.100.1")) == 401
