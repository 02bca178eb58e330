"""The JavaScript client, as a page loads it."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from itemwire import Itemwire
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from itemwire_auth.tokens.minting import new_secret

pytestmark = pytest.mark.server

SOURCE = Path(__file__).parents[2] / "clients" / "js" / "itemwire.js"


def test_the_very_file_of_the_package_is_served(server: LiveServer) -> None:
    """A page of any origin may load it: modules take the origin's leave, whatever they hold."""
    file = httpx.get(f"{server.url}/itemwire.js", headers={"Origin": "https://elsewhere.example"})

    assert file.status_code == 200
    assert file.content == SOURCE.read_bytes()
    assert file.headers["content-type"].startswith("text/javascript")
    assert file.headers["access-control-allow-origin"] == "*"


def test_a_browser_that_has_it_does_not_get_it_again(server: LiveServer) -> None:
    """It is asked about at each page, so that a new version is in use at once."""
    first = httpx.get(f"{server.url}/itemwire.js")
    again = httpx.get(f"{server.url}/itemwire.js", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")


def test_an_application_serves_it_below_its_prefix() -> None:
    """There it belongs to the channels, not to the application."""
    live, app = Itemwire(settings=Settings(secret=new_secret(), _env_file=None)), FastAPI()
    app.include_router(live.router, prefix="/live")
    with live_application(app) as server:
        assert httpx.get(f"{server.url}/live/itemwire.js").content == SOURCE.read_bytes()
        assert httpx.get(f"{server.url}/itemwire.js").status_code == 404


@pytest.mark.parametrize("path", ["/itemwire.js/x", "/package.json", "/types.js"])
def test_nothing_else_of_its_folder_is_served(server: LiveServer, path: str) -> None:
    """In a checkout its tests and its dependencies lie beside it."""
    assert httpx.get(server.url + path).status_code == 404
