"""Channels that nobody started refuse and say what to do; a publish from elsewhere never wedges."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI

from itemwire.serving.server import Protocols
from itemwire.testing.servers import live_application
from tests.embedding.conftest import ANN, ITEM, Shop, ask, database_in, settings_of
from tests.embedding.shop.live import make_live
from tests.embedding.shop.main import create_shop


def mounted_only(folder: Path) -> FastAPI:
    """Mount channels, and enter no lifespan."""
    app = create_shop(database_in(folder))
    app.mount("/live", make_live(settings_of()).app)
    return app


def included_in_a_mounted_application(folder: Path) -> FastAPI:
    """Include them where Starlette runs no lifespan."""
    app = create_shop(database_in(folder))
    app.include_router(make_live(settings_of()).router, prefix="/live")
    site = FastAPI()
    site.mount("", app)
    return site


@pytest.mark.parametrize("host", [mounted_only, included_in_a_mounted_application])
def test_what_was_not_started_refuses_and_says_why_once(
    folder: Path, protocols: Protocols, caplog: pytest.LogCaptureFixture, host: object
) -> None:
    """Sockets and requests alike; its sockets would else never expire."""
    assert callable(host)
    with (
        caplog.at_level(logging.WARNING, "itemwire"),
        live_application(host(folder), protocols=protocols) as server,
    ):
        refusals = [server.refusal(f"/live{ITEM}/ws", headers=ANN) for _ in range(3)]
        answer = ask("GET", f"{server.url}/live{ITEM}/messages", headers=ANN)
    lines = [line for line in caplog.messages if line.startswith("not_started")]

    assert [(one.code, one.reason) for one in refusals] == [(1013, "overloaded")] * 3
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert len(lines) == 1
    assert "include_router(live.router, prefix=" in lines[0]
    assert "live.lifespan(app)" in lines[0]


def test_a_publish_and_a_read_from_another_loop_are_answered(shop: Shop) -> None:
    """From a thread with a loop of its own, as code of a host may have; and it wedges nothing."""

    async def publish_and_read() -> tuple[int, bool]:
        position = await shop.live.publish("order:7", {"by": "thread"})
        found = await shop.live.history("order:7", limit=1)
        return position.offset, found.position.offset >= position.offset

    with shop.server.client(f"/live{ITEM}/ws", headers=ANN) as passive:
        passive.welcome()
        with ThreadPoolExecutor(3) as threads:
            answers = list(threads.map(lambda _: asyncio.run(publish_and_read()), range(3)))
        heard = [passive.message()["offset"] for _ in answers]
        reply = passive.publish("after")

    assert sorted(answers) == [(offset, True) for offset in heard]
    assert reply["type"] == "reply"


def test_a_publish_after_the_end_raises(folder: Path, protocols: Protocols) -> None:
    """With the sentence that says what is missing."""
    live = make_live(settings_of())
    app = create_shop(database_in(folder))
    app.include_router(live.router, prefix="/live")
    with live_application(app, protocols=protocols):
        asyncio.run(live.publish("order:7", 1))

    with pytest.raises(RuntimeError, match="include `router`"):
        asyncio.run(live.publish("order:7", 1))
