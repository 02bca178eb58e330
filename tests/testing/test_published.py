"""`live_published`: what routes publish is seen without a socket, and nothing else is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from itemwire import Itemwire
from itemwire.channels.publishing import Publishing
from itemwire.rules.payloads import NewMessage
from itemwire.testing import Published
from itemwire.testing.published import noting_published
from tests.test_startup_checks import settings_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette asks for another client
    from fastapi.testclient import TestClient

PACKED = {"status": "packed"}


def application() -> FastAPI:
    """Make an application that publishes in each way that code can."""
    live = Itemwire(user=lambda: None, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")
    live.add_channel("number:{any}", model=int)

    @app.post("/one")
    async def one(key: str | None = None) -> None:
        await live.publish("order:7", PACKED, idempotency_key=key, sender="shop", end=True)

    @app.post("/sync")
    def sync() -> None:
        live.publish_sync("order:7", "a text")

    @app.post("/many")
    async def many() -> None:
        await live.publish_many(
            [("order:7", b"\x00"), NewMessage("order:8", PACKED, {"by": "clerk"})],
            idempotency_key="k",
        )

    @app.post("/refused")
    async def refused() -> None:
        await live.publish("number:1", "no number")

    @app.post("/direct")
    async def direct() -> None:
        await live.send_to("alice", PACKED)

    return app


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Run the application."""
    with TestClient(application()) as client:
        yield client


def test_lists_what_each_way_publishes(client: TestClient, live_published: list[Published]) -> None:
    """Data are as a client gets them, and what came beside them stands beside them."""
    for path in ("/one?key=a", "/sync", "/many"):
        assert client.post(path).status_code == 200

    assert live_published == [
        Published("order:7", PACKED, key="a", end=True, sender="shop"),
        Published("order:7", "a text"),
        Published("order:7", b"\x00", key="k:0"),
        Published("order:8", PACKED, key="k:1", meta={"by": "clerk"}),
    ]


def test_lists_no_message_that_was_refused(
    client: TestClient, live_published: list[Published]
) -> None:
    """Nor one to a caller, which is published to no item."""
    with pytest.raises(ValueError, match="data"):
        client.post("/refused")
    client.post("/direct")

    assert live_published == []


def test_leaves_nothing_behind(client: TestClient) -> None:
    """A test without the fixture pays for nothing, and a list of an earlier test stays as it is."""
    before = Publishing.from_code
    with noting_published() as noted:
        client.post("/one")
    client.post("/one")

    assert len(noted) == 1
    assert Publishing.from_code is before
