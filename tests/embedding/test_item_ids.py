"""Item ids of every spelling: told the same wherever the channels are, and to whichever client."""

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from itemwire import Itemwire, Rights
from itemwire.serving.server import Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.embedding.conftest import settings_of
from tests.embedding.places import PLACES
from tests.scenarios.test_refusals_items import BAD_ITEMS, GOOD_ITEMS

pytestmark = pytest.mark.server

# What is between the site and the shop is the site's own mount, which is not ours to change.
OURS: Final = [name for name in PLACES if name != "sub-application"]

ODD: Final = BAD_ITEMS | {
    "line_feed_alone": "%0A",
    "line_feed_before": "%0Aa",
    "line_feeds": "a%0A%0Ab%0A",
    "carriage_return": "a%0D",
    "vertical_tab": "a%0Bb",
    "form_feed": "a%0Cb",
    "file_separator": "a%1Cb",
    "next_line": "a%C2%85b",
    "line_separator": "a%E2%80%A8b",
    "delete": "a%7F",
    "number_sign": "a%23",
}


class Channels:
    """Channels in one place of a running host."""

    def __init__(self, server: LiveServer, prefix: str) -> None:
        self.server = server
        self._prefix = prefix

    def path(self, item: str, rest: str) -> str:
        """Return the path of an item."""
        return f"{self._prefix}/items/{item}/{rest}"

    def status(self, item: str, rest: str) -> tuple[int, bool]:
        """Ask over HTTP, as the path is spelt; return the status and whether ours is the answer."""
        connection = HTTPConnection(urlsplit(self.server.url).netloc, timeout=30)
        try:
            connection.request("GET", self.path(item, rest))
            answer = connection.getresponse()
            return answer.status, b'"item_invalid"' in answer.read()
        finally:
            connection.close()


def user() -> dict[str, str]:
    """Find the user."""
    return {"id": "ann"}


@pytest.fixture(scope="module", params=OURS)
def channels(protocols: Protocols, request: pytest.FixtureRequest) -> Iterator[Channels]:
    """Run a host with channels in each place in turn."""
    place = PLACES[request.param]
    unslowed = settings_of(slow_after_refusals=0, stop_after_refusals=0)
    live = Itemwire(user=user, settings=unslowed)
    app = FastAPI()
    app.root_path = place.root_path

    @live.channel("{rest:path}")
    async def everything(rest: str) -> Rights:
        assert rest
        return Rights("subscribe", "history", "presence")

    served = place.put(app, live)
    with live_application(served, protocols=protocols, root_path=place.served_at) as server:
        yield Channels(server, place.prefix)


def test_refuses_bad_ones_on_a_socket(channels: Channels) -> None:
    """With a reason, whatever is in them: a host's mount matches no line break by itself."""
    told = {name: channels.server.refusal(channels.path(it, "ws")) for name, it in ODD.items()}

    reasons = {name: (one.code, one.reason) for name, one in told.items()}
    assert reasons == dict.fromkeys(ODD, (1008, "item_invalid"))


@pytest.mark.parametrize("rest", ["messages", "members"])
def test_refuses_bad_ones_over_http(channels: Channels, rest: str) -> None:
    """The host's own 404 would not say what is wrong."""
    told = {name: channels.status(it, rest) for name, it in ODD.items() if len(it) < 1000}

    assert told == dict.fromkeys(told, (403, True))


def test_takes_good_ones(channels: Channels) -> None:
    """On a socket and over HTTP."""
    for item in GOOD_ITEMS.values():
        with channels.server.client(channels.path(item, "ws")) as client:
            client.welcome()
        assert channels.status(item, "messages") == (200, False)


def test_a_line_break_after_the_path_leads_nowhere(channels: Channels) -> None:
    """As on the server alone: no such socket is served."""
    refusal = channels.server.refusal(channels.path("order:7", "ws%0A"))

    assert (refusal.code, refusal.status) == (None, 403)
