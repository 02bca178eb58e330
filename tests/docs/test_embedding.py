"""docs/embedding.md does what it says: its example is the tested one, its routes are run."""

import asyncio
import re
import sys
from types import ModuleType

import httpx
import pytest

from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret
from tests.docs.pages import DOCS, page

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
    (example,) = re.findall(r"```py\n(from typing[^`]*app = create_app[^`]*)```", TEXT)
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
