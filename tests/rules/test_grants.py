"""What is said of an item that no channel declares: all of it to operators, nothing to callers."""

import logging
from typing import Annotated, Literal

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query

from itemwire import Itemwire, Rights
from itemwire.testing.servers import live_application
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server


def application(unknown: Literal["policy", "forbid"]) -> FastAPI:
    """Make an application with two channels."""
    live = Itemwire(user=caller, unknown=unknown, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        if number == 8:
            raise HTTPException(403, "It is somebody else's order.")
        return Rights("subscribe", "history")

    @live.channel("board:{name}")
    async def board(number: int) -> Rights:  # no parameter of the pattern, so one of the query
        return Rights("subscribe")

    return app


def caller(token: Annotated[str, Query()]) -> dict[str, str]:
    """Find the user."""
    return {"id": token}


@pytest.mark.parametrize("unknown", ["forbid", "policy"])
def test_the_log_says_that_no_channel_declares_an_item(
    unknown: Literal["policy", "forbid"], caplog: pytest.LogCaptureFixture
) -> None:
    """Most often it is a slip of the pen, in the page or in the pattern."""
    caplog.set_level(logging.WARNING)
    with live_application(application(unknown)) as server:
        told = [str(server.refusal("/live/items/oder:7/ws?token=ann"))]
        with server.client("/live/ws?token=ann") as client:
            told.append(str(client.ask("join", item="oder:7")))
        told.append(httpx.get(f"{server.url}/live/items/oder:7/messages?token=ann").text)
        with server.client("/live/items/order:7/ws?token=ann") as client:
            assert client.welcome()["can"] == ["subscribe", "history"]

    assert all("forbidden" in one and "declare" not in one for one in told)
    details = [line for line in caplog.messages if line.startswith("refused")]
    assert len(details) == 3
    assert all("no channel declares 'oder:7'" in line for line in details)
    assert all("order:{number}" in line for line in details)


def test_the_log_says_which_parameter_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    """A parameter with another name than the pattern's is one of the query, as in a path."""
    with live_application(application("forbid")) as server:
        refusal = server.refusal("/live/items/board:7/ws?token=ann")
        with server.client("/live/items/board:7/ws?token=ann&number=7") as client:
            client.welcome()

    assert refusal.reason == "query_invalid"
    assert [line for line in caplog.messages if "detail='query.number: missing'" in line]


def test_the_log_says_why_the_application_refused(caplog: pytest.LogCaptureFixture) -> None:
    """On a socket the client gets a code only; the sentence is for whoever wrote the rule."""
    with live_application(application("forbid")) as server:
        refusal = server.refusal("/live/items/order:8/ws?token=ann")
        with server.client("/live/ws?token=ann") as client:
            error = client.ask("join", item="order:8")

    lines = [line for line in caplog.messages if 'detail="It is somebody else\'s order."' in line]
    assert [line.split()[0] for line in lines] == ["refused", "refresh_refused"]
    assert (refusal.reason, error["code"]) == ("forbidden", "forbidden")
    assert "somebody" not in error["detail"]
