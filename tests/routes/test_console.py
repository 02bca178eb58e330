"""The console's files, as a browser fetches them."""

import re
from pathlib import Path

import httpx
import pytest

from itemwire.routes.console import HEADERS, WEB
from itemwire.testing import LiveServer

pytestmark = pytest.mark.server

FILES = [path.name for path in WEB.iterdir()]


def test_the_page_is_at_the_root(server: LiveServer) -> None:
    """The first thing a newcomer opens."""
    page = httpx.get(server.url)

    assert page.status_code == 200
    assert "<title>" in page.text
    assert HEADERS.items() <= dict(page.headers).items() or all(
        page.headers[name] == value for name, value in HEADERS.items()
    )


@pytest.mark.parametrize("name", FILES)
def test_every_file_carries_the_policy(server: LiveServer, name: str) -> None:
    """Also the page under its other address."""
    file = httpx.get(f"{server.url}/console/{name}")

    assert file.status_code == 200
    assert all(file.headers[header] == value for header, value in HEADERS.items())


@pytest.mark.parametrize("path", ["/console/../main.py", "/console/%2e%2e/main.py", "/console/x"])
def test_nothing_else_is_served(server: LiveServer, path: str) -> None:
    """The folders beside it hold source code."""
    assert httpx.get(server.url + path).status_code == 404


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No address of another host stands in any file, but for the namespace of SVG."""
    texts = [Path(WEB / name).read_text() for name in FILES]

    addresses = {address for text in texts for address in re.findall(r"https?://[\w.]+", text)}

    assert addresses <= {"http://www.w3.org"}
