"""The operations page's files: there where the admin API is, and without data."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from itemwire import Itemwire
from itemwire.routes.admin.page import PAGE
from itemwire.routes.console import HEADERS
from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import live_application
from tests.conftest import SECRET

pytestmark = pytest.mark.server

FILES = sorted(path.name for path in PAGE.iterdir())
PATHS = ["/ops", *(f"/ops/{name}" for name in FILES)]


@pytest.fixture(scope="module")
def administered() -> Iterator[LiveServer]:
    """Run a server that has the admin API."""
    with live_server(Settings(secret=SECRET, admin=True, _env_file=None)) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
def test_every_file_carries_the_policy(administered: LiveServer, path: str) -> None:
    """Nothing inline and nothing from other sites; anybody may fetch it, as it holds no data."""
    file = httpx.get(administered.url + path)

    assert file.status_code == 200
    assert {name: file.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("path", PATHS)
def test_without_an_admin_api_there_is_none(server: LiveServer, path: str) -> None:
    """As there is no route under `/admin`."""
    assert httpx.get(server.url + path).status_code == 404


@pytest.mark.parametrize("path", ["/ops/../main.py", "/ops/%2e%2e/main.py", "/ops/x", "/ops/"])
def test_nothing_else_is_served(administered: LiveServer, path: str) -> None:
    """The folders beside it hold source code."""
    assert httpx.get(administered.url + path).status_code == 404


def test_it_is_below_the_prefix_of_an_application() -> None:
    """And all that it loads is named relative to that."""
    live, app = Itemwire(settings=Settings(secret=SECRET, admin=True, _env_file=None)), FastAPI()
    app.include_router(live.router, prefix="/live")
    with live_application(app) as server:
        page = httpx.get(f"{server.url}/live/ops")
        loaded = re.findall(r'(?:href|src)="([^"]+)"', page.text)

        assert len(loaded) >= 4
        assert {httpx.get(f"{server.url}/live/{name}").status_code for name in loaded} == {200}


def test_nothing_in_it_is_inserted_as_markup() -> None:
    """What a caller names could be a script otherwise; and the page names no other site."""
    texts = {name: (PAGE / name).read_text() for name in FILES}

    markup = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|srcdoc")
    assert [name for name, text in texts.items() if markup.search(text)] == []
    addresses = {one for text in texts.values() for one in re.findall(r"https?://[\w.]+", text)}
    assert addresses <= {"http://www.w3.org"}
