"""docs/embedding.md does what it says: its example is the tested one, the rest is run."""

import asyncio
import re
import sys
from types import ModuleType

import httpx
import pytest
from fastapi import FastAPI

from itemwire import Itemwire
from itemwire.testing import live_server
from itemwire.testing.servers import settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import mint, new_secret
from tests.docs.pages import DOCS, page
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


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run the example of the page that has this name, and return it as a module."""
    shown = re.search(rf"<!-- {re.escape(name)} -->\n\n```py\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None, f"no example is called {name}"
    module = ModuleType(name.removesuffix(".py"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(shown[1], vars(module))  # noqa: S102 - the page's own code
    return module


@pytest.mark.parametrize("name", ["mounted.py", "mounted_channels.py"])
def test_a_mounted_application_is_ready_once_its_lifespan_is_entered(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And not before, as the page says."""
    monkeypatch.setenv("ITEMWIRE_SECRET", new_secret())
    app = example(name, monkeypatch).app

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
