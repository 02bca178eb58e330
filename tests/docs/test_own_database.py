"""The example of docs/embedding.md: rights from the application's database, on a real server."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from docs.examples.own_database import create_shop
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal, live_server
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret

SECRET = new_secret()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LiveServer]:
    """The example's application, with two parties of one order."""
    monkeypatch.setenv("ITEMWIRE_SECRET", SECRET)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE parties (order_id, person, role)")
        database.execute("INSERT INTO parties VALUES ('order:42', 'carol', 'customer')")
        database.execute("INSERT INTO parties VALUES ('order:42', 'sam', 'seller')")
    database.close()
    config = uvicorn.Config(create_shop(), log_config=None)
    with live_server(Settings(secret=SECRET, _env_file=None), uvicorn.Server(config)) as running:
        yield running


def path(subject: str, item: str = "order:42") -> str:
    """Return the path of an item's channel, with a token that carries no rights at all."""
    token = mint(signing_key_from_secret(SECRET), subject=subject, lifetime=60)
    return f"/items/{item}/ws?token={token}"


def test_the_seller_writes_and_the_customer_reads(shop: LiveServer) -> None:
    """The database decides, not the token."""
    with shop.connect(path("carol")) as customer, shop.connect(path("sam")) as seller:
        seller.send("packed")

        assert customer.recv(timeout=5) == "packed"


def test_a_customer_may_not_write(shop: LiveServer) -> None:
    """The grant holds for what comes after the handshake, too."""
    with shop.connect(path("carol")) as customer:
        customer.send("free shipping, please")

        with pytest.raises(ConnectionClosed) as closed:
            customer.recv(timeout=5)
    assert closed.value.rcvd == Close(1008, "scope_missing")


@pytest.mark.parametrize(("subject", "item"), [("mallory", "order:42"), ("sam", "order:43")])
def test_a_caller_that_is_no_party_is_refused(shop: LiveServer, subject: str, item: str) -> None:
    """The caller does not learn whether the order exists."""
    assert shop.refusal(path(subject, item)) == Refusal(101, 1008, "forbidden")
