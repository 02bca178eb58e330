"""docs/embedding.md does what it says: its example is the tested one, the rest is run."""

import asyncio
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from fastapi import FastAPI

from itemwire import Itemwire
from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import live_application, settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import mint, new_secret
from tests.docs.pages import DOCS, page, run_tests
from tests.test_startup_checks import settings_of

TEXT = page("embedding.md")


def test_the_example_is_the_tested_one() -> None:
    """The page shows the file that `test_own_database` runs, from its imports on."""
    shown = re.search(r"<!-- docs/examples/own_database.py -->\n\n```py\n(.*?)```", TEXT, re.DOTALL)

    assert shown is not None
    assert (DOCS / "examples" / "own_database.py").read_text().endswith(shown.group(1))


def test_the_routes_of_its_own_that_it_shows_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule serves sockets and HTTP: who may subscribe may read, and nobody else."""
    secret = new_secret()
    monkeypatch.setenv("ITEMWIRE_SECRET", secret)
    (example,) = re.findall(r"```py\n(from typing[^`]*app = create_app[^`]*label[^`]*)```", TEXT)
    module = ModuleType("routes_of_its_own")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(example, vars(module))  # noqa: S102 - the page's own code
    transport = httpx.ASGITransport(module.app)
    token = mint(signing_key_from_secret(secret), subject="a", lifetime=60, scope="items:subscribe")

    async def ask(token: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.get("/items/order:42/label", headers=headers)

    assert asyncio.run(ask(token)).json() == "order:42 for a"
    assert asyncio.run(ask("x")).status_code == 401


def shown_as(mark: str) -> str:
    """Return the example of the page that has this mark."""
    shown = re.search(rf"<!-- {re.escape(mark)} -->\n\n```py\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None, f"no example is marked {mark}"
    return shown[1]


def continued(name: str) -> str:
    """Return what the page adds to a file later, or nothing."""
    mark = f"{name} goes on"
    return shown_as(mark) if mark in TEXT else ""


def source(name: str) -> str:
    """Return a file of the page, with what it adds later."""
    return shown_as(name) + continued(name)


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run the example of the page that has this name, and return it as a module."""
    module = ModuleType(name.removesuffix(".py"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(source(name), vars(module))  # noqa: S102 - the page's own code
    return module


def make_shop(path: Path) -> None:
    """Make the database of the shop: order 7, its customer 1, its seller 2, and a stranger."""
    now = int(time.time())
    logins = [("carol", 1, now + 600), ("sam", 2, now + 600), ("mallory", 3, now + 600)]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE sessions (token, user_id, expires_at)")
        database.executemany("INSERT INTO sessions VALUES (?, ?, ?)", logins)
        database.execute("INSERT INTO sessions VALUES ('late', 2, ?)", [now - 600])
        database.execute("CREATE TABLE orders (number, customer, seller)")
        database.execute("INSERT INTO orders VALUES (7, 1, 2)")


@pytest.fixture(params=["app.py", "mounted_live.py"])
def shop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    """Run the page's application with its channel: the router included, and mounted."""
    make_shop(Path("shop.db"))
    example("users.py", monkeypatch)
    module = example(request.param, monkeypatch)
    if request.param != "app.py":
        exec(continued("app.py"), vars(module))  # noqa: S102 - the page's own code
    with live_application(module.app) as running:
        yield running


def test_its_own_users_and_database_decide(shop: LiveServer) -> None:
    """By cookie and by bearer token, until the user's login ends."""
    path = "/live/items/order:7/ws"
    cookie = {"cookie": "session=carol"}
    with (
        shop.client(path, headers=cookie) as carol,
        shop.client(path, headers={"authorization": "Bearer sam"}) as sam,
        shop.client(f"{path}?token=sam", headers={"origin": "https://evil.example"}) as page,
    ):
        assert [one.welcome()["subject"] for one in (carol, sam, page)] == ["1", "2", "2"]
        httpx.post(f"{shop.url}/orders/7/ship").raise_for_status()
        assert [one.message()["data"] for one in (carol, sam)] == [{"status": "shipped"}] * 2
    refusals = [
        shop.refusal(path).reason,
        shop.refusal(f"{path}?token=late").reason,
        shop.refusal(f"{path}?token=mallory").reason,
        shop.refusal("/live/items/order:8/ws?token=sam").reason,
        shop.refusal("/live/items/order:x/ws?token=sam").reason,
        shop.refusal(path, headers={**cookie, "origin": "https://evil.example"}).reason,
    ]
    assert refusals == [
        "credentials_missing",
        "credentials_invalid",
        "forbidden",
        "forbidden",
        "item_invalid",
        "origin_denied",
    ]


def test_its_own_routes_stay_as_they_were(shop: LiveServer) -> None:
    """Errors and documents are the application's."""
    assert httpx.get(f"{shop.url}/nowhere").json() == {"detail": "Not Found"}
    assert set(httpx.get(f"{shop.url}/openapi.json").json()["paths"]) == {"/orders/{number}/ship"}


def test_its_own_test_passes(tmp_path: Path) -> None:
    """In a folder with the three files, as the reader has them."""
    make_shop(tmp_path / "shop.db")
    for name in ("users.py", "app.py", "test_app.py"):
        (tmp_path / name).write_text(source(name))

    done = run_tests(tmp_path)

    assert "1 passed" in done, done


def test_a_mounted_application_is_ready_once_its_lifespan_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not before, as the page says."""
    example("users.py", monkeypatch)
    app = example("mounted_live.py", monkeypatch).app

    async def ready() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            before = await client.get("/live/health/ready")
            async with app.router.lifespan_context(app):
                return [before.status_code, (await client.get("/live/health/ready")).status_code]

    assert asyncio.run(ready()) == [503, 200]


def test_authentication_alone_decides_by_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application without channels: who calls, and what the token's rights allow."""
    secret = new_secret()
    monkeypatch.setenv("ITEMWIRE_SECRET", secret)
    app = example("auth_alone.py", monkeypatch).app
    scope = "items:subscribe"
    token = mint(signing_key_from_secret(secret), subject="a", lifetime=60, scope=scope)
    other = mint(signing_key_from_secret(secret), subject="b", lifetime=60)

    async def ask(path: str, token: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers={"Authorization": f"Bearer {token}"})

    assert asyncio.run(ask("/me", token)).json() == "a"
    assert asyncio.run(ask("/documents/7", token)).json() == "7 for a"
    assert asyncio.run(ask("/documents/7", other)).status_code == 403
    assert asyncio.run(ask("/me", "x")).status_code == 401


def test_a_socket_of_authentication_alone_ends_with_its_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the route of the example that logs a caller out; who signs in again at once is let in."""
    secret = new_secret()
    monkeypatch.setenv("ITEMWIRE_SECRET", secret)
    now = time.time()  # both logins are of one second, as `iat` counts
    token, again = (
        mint(signing_key_from_secret(secret), subject="a", lifetime=60, now=now) for _ in range(2)
    )
    headers = {"Authorization": f"Bearer {token}"}
    newer = {"Authorization": f"Bearer {again}"}
    with (
        live_application(example("auth_alone.py", monkeypatch).app) as server,
        server.client("/ws", headers=headers, subprotocols=()) as client,
    ):
        client.send("hello")
        assert client.receive() == "hello"
        assert httpx.post(f"{server.url}/logout", headers=headers).status_code == 200
        assert client.ending().browser_sees == (1008, "token_revoked")
        assert httpx.get(f"{server.url}/me", headers=headers).status_code == 401
        assert httpx.get(f"{server.url}/me", headers=newer).json() == "a"
        with server.client("/ws", headers=newer, subprotocols=()) as back:
            back.send("hello")
            assert back.receive() == "hello"


def test_a_task_that_hears_items_ends_with_the_channels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints what is published until then."""
    live = Itemwire(user=lambda: None, settings=settings_of(secret=None))
    watch = example("hears.py", monkeypatch).watch

    async def scene() -> None:
        async with live.lifespan(FastAPI()):
            task = asyncio.create_task(watch(live))
            while "packed" not in capsys.readouterr().out:
                await asyncio.to_thread(live.publish_sync, "order:8", "packed")
        await asyncio.wait_for(task, 10)

    asyncio.run(scene())


def test_a_worker_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the server that the environment names."""
    tokens = TokenFactory(signing_key_from_secret(new_secret()))
    worker = example("worker.py", monkeypatch)
    with live_server(settings_for(tokens)) as server:
        monkeypatch.setenv("ITEMWIRE_URL", server.url)
        monkeypatch.setenv("ITEMWIRE_TOKEN", tokens.good(scope="items:publish items:subscribe"))
        token = tokens.good(scope="items:subscribe")
        with server.client(f"/items/order:7/ws?token={token}") as client:
            client.welcome()
            worker.pack(7)
            assert client.message()["data"] == {"status": "packed"}
    worker.publisher.close()
