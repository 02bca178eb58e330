"""A route's dependencies are released before the socket starts waiting."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from fastapi import Depends

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth import Action, CurrentPrincipal, Grant, authorize_item
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret
from tests.scenarios.clients import PATIENCE
from tests.scenarios.conftest import Serve

SECRET = new_secret()


def path() -> str:
    """An item's channel, with a token that is fresh however long the other tests took."""
    token = mint(signing_key_from_secret(SECRET), subject="alice", lifetime=60)
    return f"/items/42/ws?token={token}"


class Pool:
    """A database pool with one connection in it."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)
        self.fails_at_return = False

    async def connection(self) -> AsyncIterator[None]:
        """Lend the connection, as a `yield` dependency does."""
        async with asyncio.timeout(10), self._free:
            yield
            if self.fails_at_return:
                raise RuntimeError("the transaction could not be committed")


@pytest.fixture
def pool() -> Pool:
    """A pool of one."""
    return Pool()


@pytest.fixture
def shop(pool: Pool, serve: Serve) -> Iterator[LiveServer]:
    """An application whose rights come through the pool."""

    async def grant(
        item_id: str, principal: CurrentPrincipal, _: Annotated[None, Depends(pool.connection)]
    ) -> Grant:
        return Grant(principal, item_id, frozenset(Action))

    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)
    app.dependency_overrides[authorize_item] = grant
    with serve(settings, app) as running:
        yield running


def test_many_sockets_share_a_pool_of_one(shop: LiveServer) -> None:
    """FastAPI alone keeps the first socket's connection until that socket ends."""
    with (
        shop.connect(path()) as first,
        shop.connect(path()) as second,
        shop.connect(path()) as third,
    ):
        first.send("hello")

        assert [peer.recv(timeout=PATIENCE) for peer in (first, second, third)] == ["hello"] * 3


def test_a_failure_at_the_return_refuses_the_client(shop: LiveServer, pool: Pool) -> None:
    """What was decided on a transaction that did not hold does not hold either."""
    pool.fails_at_return = True

    assert shop.refusal(path()) == Refusal(101, 1011, "internal")
