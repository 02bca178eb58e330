"""Half of a surrogate pair in what an application says of a refusal, which no frame carries."""

from collections.abc import Callable, Iterator
from typing import Final, NoReturn

import httpx
import pytest
from fastapi import FastAPI, HTTPException, WebSocketException

from itemwire import ChannelException, Itemwire, Rights
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

HALF: Final = "not \ud800 here"
TOLD: Final = "not ? here"


REFUSALS: Final[dict[str, Callable[[], Exception]]] = {
    "own": lambda: ChannelException("sold_out", detail=HALF),
    "http": lambda: HTTPException(403, HALF),
    "close": lambda: WebSocketException(4000, HALF),
}
EXPECTED: Final = {
    "own": ("sold_out", TOLD),
    "http": ("forbidden", TOLD),
    "close": (TOLD, "Said by the application."),
}


def refuse(how: str) -> NoReturn:
    """Refuse as one of them."""
    error = REFUSALS[how]()
    raise error


async def anybody() -> dict[str, str]:
    """Return the same user for everybody."""
    return {"id": "ann"}


def shop() -> FastAPI:
    """Make an application that refuses what its items say."""
    live = Itemwire(user=anybody, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("closed:{how}")
    async def closed(how: str) -> Rights:
        refuse(how)

    @live.channel("open:{how}")
    async def opened(how: str) -> Rights:
        return Rights("subscribe", "publish")

    @opened.before_publish
    async def check(data: object, how: str) -> None:
        if data == 1:
            refuse(how)

    @opened.message("buy")
    async def buy(data: object, how: str) -> None:
        refuse(how)

    return app


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run the application."""
    with live_application(shop()) as running:
        yield running


@pytest.mark.parametrize("how", REFUSALS)
def test_requests_and_checks_are_answered(server: LiveServer, how: str) -> None:
    """On a socket, which would wait for ever, and over HTTP; what was not refused is stored."""
    base = f"{server.url}/live"
    batch = {"messages": [{"item": f"open:{how}", "data": one} for one in (1, 2)]}
    with server.client(f"/live/items/open:{how}/ws?token=x") as client:
        client.welcome()
        told = [client.publish(1), client.ask("request", name="buy", data=1)]
        refused, stored = httpx.post(f"{base}/messages?token=x", json=batch).json()["results"]
        heard = client.message()["data"]
    for path in ("messages", "requests/buy"):
        answer = httpx.post(f"{base}/items/open:{how}/{path}?token=x", json=1)
        told.append(answer.json())

    assert [(one["code"], one["detail"]) for one in (*told, refused)] == [EXPECTED[how]] * 5
    assert (stored["offset"], heard) == (1, 2)


@pytest.mark.parametrize("how", REFUSALS)
def test_a_refused_join_ends_no_socket(server: LiveServer, how: str) -> None:
    """Its client is told the code, and goes on with other items; so is who reads over HTTP."""
    with server.client("/live/ws?token=x") as client:
        refused = client.ask("join", item=f"closed:{how}")
        joined = client.ask("join", item="open:own")
    read = httpx.get(f"{server.url}/live/items/closed:{how}/messages?token=x")

    assert (refused["code"], joined["type"]) == (EXPECTED[how][0], "welcome")
    assert (read.status_code, read.json()["status"]) == (403, 403)
