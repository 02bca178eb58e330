"""Fixtures: the shop with channels in it on a real server, by both protocol classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from itemwire import Itemwire
from itemwire.serving.server import FASTPATH, Protocols
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire.testing.servers import STOCK, live_application
from tests.embedding.places import PLACES, Place
from tests.embedding.shop.live import make_live
from tests.embedding.shop.main import create_shop

CLASSES: Final[dict[str, Protocols]] = {"fastpath": FASTPATH, "stock": STOCK}

ANN: Final = {"Authorization": "Bearer anns-login"}  # the seller of order 7
BEN: Final = {"Cookie": "shop_login=bens-login"}  # its buyer

ITEM: Final = "/items/order:7"

ask: Final = partial(httpx.request, timeout=30)  # seconds, on a busy machine


def settings_of(**changes: object) -> Settings:
    """Give settings without a key of any kind: the shop knows its users."""
    return Settings.model_validate({"secret": None, **changes})


@dataclass(frozen=True)
class Shop:
    """A running shop, and the channels in it."""

    app: FastAPI
    live: Itemwire
    server: LiveServer
    prefix: str = "/live"

    @property
    def sessions(self) -> int:
        """Return how many connections of the shop's database are in use."""
        engine: AsyncEngine = self.app.state.engine
        in_use: int = engine.pool.checkedout()  # type: ignore[attr-defined] # of its queue
        return in_use

    def url(self, path: str) -> str:
        """Return the URL of a path below the prefix of the channels."""
        return f"{self.server.url}{self.prefix}{path}"


def database_in(folder: Path) -> str:
    """Return the URL of a database of its own."""
    return f"sqlite+aiosqlite:///{folder / 'shop.db'}"


@contextmanager
def running_shop(
    folder: Path,
    protocols: Protocols,
    place: Place = PLACES["router"],
    *,
    settings: Settings | None = None,
    access_log: bool = False,
) -> Iterator[Shop]:
    """Run a shop with channels in it."""
    live = make_live(settings or settings_of())
    app = create_shop(database_in(folder))
    app.root_path = place.root_path
    with live_application(
        place.put(app, live),
        protocols=protocols,
        access_log=access_log,
        root_path=place.served_at,
    ) as server:
        yield Shop(app, live, server, place.prefix)


@pytest.fixture(scope="module", params=list(CLASSES))
def protocols(request: pytest.FixtureRequest) -> Protocols:
    """Take each protocol class in turn."""
    return CLASSES[request.param]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for the databases of one module."""
    return tmp_path_factory.mktemp("shops")


@pytest.fixture(scope="module")
def running(folder: Path, protocols: Protocols) -> Iterator[Shop]:
    """Run a shop with channels in it, for all tests of a module."""
    with running_shop(folder, protocols) as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Iterator[Shop]:
    """Give the running shop, without the overrides of the test before."""
    yield running
    running.app.dependency_overrides = {}
