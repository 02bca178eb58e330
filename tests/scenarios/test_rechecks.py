"""`recheck_interval`: who was logged out does not stay; who is logged in hears nothing of it."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import APIKeyCookie, OAuth2PasswordBearer

from itemwire import Itemwire, Rights
from itemwire.channels.lifecycle.rechecks import AT_ONCE
from itemwire.testing import ChannelClient, Clock, LiveServer
from itemwire.testing.servers import live_application
from tests.fakes.host_ways import node_of
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

INTERVAL: Final = 300
LIFE: Final = 1000

ITEM: Final = "/live/items/order:7/ws"


@dataclass
class User:
    """A user as an application has them."""

    id: str
    expires_at: float


@dataclass
class Host:
    """The host's logins, and what its channels allow."""

    clock: Clock
    logins: dict[str, str] = field(default_factory=dict[str, str])  # the user of each secret
    barred: set[str] = field(default_factory=set[str])
    is_away: bool = False
    asked: int = 0
    asking: int = 0
    most_asking: int = 0
    server: LiveServer = field(init=False)
    live: Itemwire = field(init=False)

    async def find(self, secret: str) -> User:
        """Return the user of a secret, or refuse."""
        self.asked += 1
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        await asyncio.sleep(0.001)
        self.asking -= 1
        if self.is_away:
            raise HTTPException(503)
        if secret not in self.logins:
            raise HTTPException(401)
        return User(self.logins[secret], self.clock() + LIFE)

    def pass_interval(self) -> None:
        """Let a recheck of every socket come due, and wait until it was made."""
        asked = self.asked
        self.clock.advance(INTERVAL + 1)
        httpx.post(f"{self.server.url}/tick")
        assert self.asked > asked

    def told(self, client: ChannelClient) -> tuple[int | None, str]:
        """Return how a connection ended."""
        ending = client.ending()
        return ending.code, ending.reason


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    """Give a running host, whose users have a cookie or a token."""
    clock = Clock()
    host = Host(clock)

    async def current_user(
        sid: Annotated[str | None, Depends(APIKeyCookie(name="sid", auto_error=False))],
        token: Annotated[str | None, Depends(OAuth2PasswordBearer("login", auto_error=False))],
    ) -> User:
        return await host.find(sid or token or "")

    settings = settings_of(
        secret=None, throttle_exempt=(), slow_after_refusals=0, stop_after_refusals=3
    )
    live = host.live = Itemwire(
        user=current_user,
        settings=settings,
        recheck_interval=INTERVAL,
        clock=clock,
    )

    @live.channel("order:{number}")
    async def order(number: int, user: Annotated[User, Depends(current_user)]) -> Rights:
        if f"order:{number}" in host.barred:
            raise HTTPException(403)
        return Rights("subscribe", publish=f"publish:{user.id}" in host.barred)

    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @app.post("/tick")
    async def tick(_request: Request) -> None:
        node_of(live).tick()
        running = live._assembly.reauthorizer._running
        while running:
            await asyncio.wait(running)

    with live_application(app) as host.server:
        yield host


@pytest.fixture
def host(running: Host) -> Host:
    """Give the running host as it was at first."""
    running.logins = {"of-alice": "alice", "of-bob": "bob", "anew": "alice"}
    running.barred = set()
    running.is_away = False
    return running


COOKIE: Final = {"cookie": "sid=of-alice"}


@pytest.mark.parametrize("path", [ITEM, "/live/ws"])
@pytest.mark.parametrize("subprotocols", [("itemwire.v1.json",), ()])
def test_ends_a_socket_whose_user_was_logged_out(
    host: Host, path: str, subprotocols: tuple[str, ...]
) -> None:
    """Its own user, however it came; the socket of another one stays. Both lived on before."""
    with (
        host.server.client(path, headers=COOKIE, subprotocols=subprotocols) as client,
        host.server.client(f"{ITEM}?token=of-bob") as other,
    ):
        other.welcome()
        host.pass_interval()
        del host.logins["of-alice"]
        host.pass_interval()
        assert host.told(client) == (1008, "credentials_invalid")
        host.barred.add("publish:bob")
        host.pass_interval()
        assert other.publish("still here")["type"] == "reply"


def test_ends_a_stream_of_events_too(host: Host) -> None:
    """Server-sent events have no other way to learn of it."""
    url = f"{host.server.url}/live/items/order:7/events"
    with httpx.stream("GET", url, headers=COOKIE) as stream:
        lines = stream.iter_lines()
        next(lines)
        del host.logins["of-alice"]
        host.pass_interval()
        assert any("credentials_invalid" in line for line in lines)


def test_ends_a_socket_whose_login_is_somebody_elses_now(host: Host) -> None:
    """The same cookie may name another user."""
    with host.server.client(ITEM, headers=COOKIE) as client:
        client.welcome()
        host.logins["of-alice"] = "bob"
        host.pass_interval()
        assert host.told(client) == (1008, "credentials_invalid")


def test_asks_the_rule_of_the_channel_too(host: Host) -> None:
    """With one item the socket ends, of many the item is left."""
    with (
        host.server.client(ITEM, headers=COOKIE) as client,
        host.server.client("/live/ws", headers=COOKIE) as many,
    ):
        client.welcome()
        many.ask("join", item="order:7")
        many.ask("join", item="order:8")
        host.barred.add("order:7")
        host.pass_interval()
        assert host.told(client) == (1008, "forbidden")
        assert many.expect("ended")["item"] == "order:7"
        host.barred = {"publish:alice"}
        host.pass_interval()
        assert many.publish("x", item="order:8")["type"] == "reply"


def test_keeps_a_socket_while_the_host_cannot_say(host: Host) -> None:
    """And asks again soon: a refusal for now is no verdict, and counts against nobody."""
    with host.server.client(ITEM, headers=COOKIE) as client:
        client.welcome()
        host.is_away = True
        for _ in range(2):
            host.pass_interval()
        host.is_away = False
        host.clock.advance(11)
        asked = host.asked
        httpx.post(f"{host.server.url}/tick")
        assert host.asked > asked
        client.ask("refresh", token="of-alice")


def test_a_later_expiry_is_taken_over(host: Host) -> None:
    """So a login that the host extends lasts, with rechecks alone."""
    with host.server.client(ITEM, headers=COOKIE) as client:
        ends_at = client.welcome()["expires_at"]
        for _ in range(5):
            host.pass_interval()
        assert host.clock() > ends_at
        (listed,) = node_of(host.live).connections(10)
        assert listed.expires_at > host.clock() + LIFE / 2


def test_a_refresh_replaces_what_is_kept(host: Host) -> None:
    """From then on the new token alone is asked about, and that only if it was taken."""
    with (
        host.server.client(f"{ITEM}?token=of-alice") as client,
        host.server.client("/live/ws?token=of-alice") as many,
    ):
        client.welcome()
        for one in (client, many):
            assert one.ask("refresh", token="of-bob")["code"] == "credentials_invalid"
            assert one.ask("refresh", token="anew")["type"] == "reply"
        del host.logins["of-alice"], host.logins["of-bob"]
        host.pass_interval()
        assert client.ask("ping")["type"] == "pong"
        assert many.ask("join", item="order:7")["subject"] == "alice"
        del host.logins["anew"]
        host.pass_interval()
        assert host.told(client) == host.told(many) == (1008, "credentials_invalid")


def test_logged_out_sockets_do_not_shut_out_their_neighbours(host: Host) -> None:
    """Nobody at that address has tried anything."""
    with ExitStack() as sockets:
        for _ in range(5):
            client = sockets.enter_context(host.server.client(ITEM, headers=COOKIE))
            client.welcome()
        del host.logins["of-alice"]
        host.pass_interval()
        for token in ("of-bob", "anew"):
            neighbour = sockets.enter_context(host.server.client(f"{ITEM}?token={token}"))
            neighbour.welcome()


def test_asks_about_few_at_once(host: Host) -> None:
    """However many came together, as after a restart."""
    with ExitStack() as sockets:
        for _ in range(3 * AT_ONCE):
            sockets.enter_context(host.server.client(ITEM, headers=COOKIE)).welcome()
        host.most_asking = 0
        asked = host.asked
        host.pass_interval()

        assert host.asked - asked == 3 * AT_ONCE
        assert host.most_asking <= AT_ONCE
