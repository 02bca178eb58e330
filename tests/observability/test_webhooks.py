"""Events over HTTP: signed, in order, sent again until they are taken, and bounded."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from pydantic import SecretStr

from itemwire.assembly import assemble
from itemwire.messages import Member
from itemwire.observability import webhooks
from itemwire.observability.webhooks import EVENTS, Webhooks
from itemwire.settings import Settings
from itemwire.testing import live_server
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint
from tests.auth.odd_urls import CALLED, NEVER_CALLED, REDIRECTS
from tests.conftest import SECRET as TOKEN_SECRET
from tests.test_startup_checks import settings_of

KEY: Final = bytes(range(32))
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()
NOW: Final = 1_795_368_359.5


@dataclass
class Endpoint:
    """An application's endpoint: what came, and how it answers, the last answer for ever."""

    statuses: list[int]
    answered: str = ""  # further lines of the head of each answer
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    came: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        while len(self.requests) < count:
            await self.came.get()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events of all requests."""
        return [one for _, body in self.requests for one in json.loads(body)["events"]]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        self.came.put_nowait(None)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n"
            f"{self.answered}\r\n".encode()
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Endpoint]:
    """Run an endpoint that answers with these statuses."""
    endpoint = Endpoint(list(statuses))
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    async with server:
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
        yield endpoint


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene, with an end."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(bounded())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "BATCH_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "FIRST_PAUSE", 0.01)


pytestmark = pytest.mark.server


def test_is_signed_and_in_order() -> None:
    """As Standard Webhooks defines it; what happens together goes together."""

    async def scene() -> None:
        async with (
            listening(200) as endpoint,
            Webhooks(endpoint.url, SECRET, EVENTS, clock=lambda: NOW) as hooks,
        ):
            hooks.joined("order:1", Member("c", "ann"))
            hooks.left("order:1", Member("c", "ann"))
            await endpoint.wait_for(1)

        ((headers, body),) = endpoint.requests
        signed = f"{headers['webhook-id']}.{int(NOW)}.".encode() + body
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-timestamp"] == str(int(NOW))
        assert headers["webhook-signature"] == f"v1,{digest}"
        member = {"at": NOW, "connection": "c", "subject": "ann", "item": "order:1"}
        assert endpoint.events == [{"type": "joined", **member}, {"type": "left", **member}]

    play(scene)


def test_is_sent_again_until_it_is_taken() -> None:
    """With the same id, so that the endpoint knows it again."""

    async def scene() -> None:
        async with (
            listening(500, 302, 204) as endpoint,
            Webhooks(endpoint.url, SECRET, EVENTS) as hooks,
        ):
            hooks.joined("order:1", Member("c", "ann"))
            await endpoint.wait_for(3)
            hooks.joined("order:2", Member("c", "ann"))

        ids = [headers["webhook-id"] for headers, _ in endpoint.requests]
        assert [event["item"] for event in endpoint.events] == ["order:1"] * 3 + ["order:2"]
        assert ids[0] == ids[1] == ids[2] != ids[3]

    play(scene)


@pytest.mark.parametrize("location", [pytest.param(to, id=name) for name, to in REDIRECTS.items()])
def test_an_odd_redirect_does_not_end_the_sender(location: str) -> None:
    """It ended without a line, and whatever came after it was never sent."""

    async def scene() -> None:
        async with listening(302, 204) as endpoint:
            endpoint.answered = f"location: {location}\r\nset-cookie: session=1\r\n"
            async with Webhooks(endpoint.url, SECRET, EVENTS) as hooks:
                hooks.joined("order:1", Member("c", "ann"))
                await endpoint.wait_for(2)

        assert [headers.get("cookie") for headers, _ in endpoint.requests] == [None, None]

    play(scene)


def test_gives_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that is never taken does not hold up the next for ever; the log says so."""
    monkeypatch.setattr(webhooks, "MAX_ATTEMPTS", 2)

    async def scene() -> None:
        async with (
            listening(400, 400, 200) as endpoint,
            Webhooks(endpoint.url, SECRET, EVENTS) as hooks,
        ):
            hooks.joined("order:1", Member("c", "ann"))
            await endpoint.wait_for(2)
            hooks.joined("order:2", Member("c", "ann"))
        assert [event["item"] for event in endpoint.events] == ["order:1", "order:1", "order:2"]

    play(scene)
    assert "webhooks_dropped events=1" in caplog.text


def test_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What finds no room is dropped, which is logged once; a node that stops sends the rest."""
    monkeypatch.setattr(webhooks, "MAX_WAITING", 3)

    async def scene() -> None:
        async with listening(200) as endpoint:
            async with Webhooks(endpoint.url, SECRET, {"joined"}) as hooks:
                hooks.left("order:0", Member("c", "ann"))  # not asked for
                for number in range(5):
                    hooks.joined(f"order:{number}", Member("c", "ann"))
            hooks.joined("order:9", Member("c", "ann"))
        assert [event["item"] for event in endpoint.events] == ["order:0", "order:1", "order:2"]

    play(scene)
    assert caplog.text.count("webhooks_dropped") == 1


def test_a_node_stops_beside_an_endpoint_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In bounded time; the log says what was not sent."""
    monkeypatch.setattr(webhooks, "GRACE", 0.05)

    async def scene() -> None:
        async with listening(200) as endpoint:
            pass
        async with Webhooks(endpoint.url, SECRET, EVENTS) as hooks:
            hooks.joined("order:1", Member("c", "ann"))

    play(scene)
    assert "webhooks_dropped events=1" in caplog.text


def test_a_server_tells_its_endpoint() -> None:
    """Who connects, joins, leaves and goes; all of it by the time that the server has stopped."""

    async def scene() -> None:
        async with listening(200) as endpoint:
            settings = settings_of(
                webhook_url=endpoint.url,
                webhook_secret=SecretStr(SECRET),
                webhook_events=tuple(sorted(EVENTS)),
            )
            await asyncio.to_thread(join_and_leave, settings)

        told = [(event["type"], event["subject"], event.get("item")) for event in endpoint.events]
        assert told[:3] == [
            ("connected", "ann", None),
            ("joined", "ann", "order:1"),
            ("left", "ann", "order:1"),
        ]
        assert told[3:] == [("disconnected", "ann", None)]

    play(scene)


def join_and_leave(settings: Settings) -> None:
    """Run a server for one client."""
    key = signing_key_from_secret(TOKEN_SECRET)
    token = mint(key, subject="ann", lifetime=60, scope="items:subscribe")
    with live_server(settings) as server, server.client(f"/ws?token={token}") as client:
        client.ask("join", item="order:1")
        client.ask("leave", item="order:1")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"webhook_secret": None}, "ITEMWIRE_WEBHOOK_SECRET"),
        ({"webhook_secret": SecretStr("whsec_c2hvcnQ=")}, "24 random bytes"),
        ({"webhook_secret": SecretStr("x" * 64)}, "whsec_"),
        ({"webhook_url": "http://app.example.com/"}, "use https"),
        ({"webhook_url": "https://a:b@app.example.com/"}, "holds a password"),
        ({"webhook_url": "app.example.com"}, "is not a URL"),
        *(({"webhook_url": url}, "is not a URL") for url in NEVER_CALLED.values()),
        ({"webhook_events": ("joined", "moved")}, "'moved' is none of"),
    ],
)
def test_refuses_to_start_as_configured(changed: dict[str, object], told: str) -> None:
    """With a sentence that says what to write."""
    good: dict[str, object] = {
        "webhook_url": "https://app.example.com/",
        "webhook_secret": SecretStr(SECRET),
    }
    for url in CALLED.values():
        assert assemble(settings_of(**{**good, "webhook_url": url})).webhooks is not None

    with pytest.raises(ValueError, match="ITEMWIRE_WEBHOOK") as refused:
        assemble(settings_of(**{**good, **changed}))
    assert told in str(refused.value)
