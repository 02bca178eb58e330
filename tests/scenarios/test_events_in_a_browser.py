"""`EventSource` of a real Chromium: it comes back by itself, misses nothing, and is stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import EVERYTHING, json_client, token
from tests.scenarios.conftest import Serve, fastpath_only

LISTEN = """url => {
  window.heard = [];
  window.source = new EventSource(url);
  source.onmessage = event => heard.push(`${JSON.parse(event.data).data} ${event.lastEventId}`);
  for (const name of ["welcome", "closing"]) source.addEventListener(name, event => {
    const { was_recovering, recovered, reason } = JSON.parse(event.data);
    heard.push(reason ?? `${was_recovering} ${recovered}`);
  });
}"""


@pytest.fixture(scope="module")
def admin_server(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that has the admin API."""
    with serve(Settings(secret=SECRET, admin=True, _env_file=None)) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


@fastpath_only
def test_comes_back_without_a_gap_until_it_is_refused(
    chromium: Browser, admin_server: LiveServer, item_id: str
) -> None:
    """The standard sends `Last-Event-ID` after a break, and gives up at any status but 200.

    The id proves that the page was there: its token has no right to history (requirement 130).
    """
    server = admin_server
    as_admin = {"Authorization": f"Bearer {token('root', 'admin')}"}
    page = chromium.new_context().new_page()
    page.goto(f"{server.url}/health/live")
    with json_client(server, item_id, scope=EVERYTHING) as alice:
        epoch = alice.welcome["epoch"]
        page.evaluate(LISTEN, f"/items/{item_id}/events?token={token('carol', 'items:subscribe')}")
        member = alice.read()["member"]
        alice.ask("publish", data="one")
        page.wait_for_function("heard.length == 2")
        httpx.delete(
            f"{server.url}/admin/connections/{member['connection']}", headers=as_admin
        ).raise_for_status()
        alice.ask("publish", data="two")  # while it is away: it waits for two seconds
        page.wait_for_function("heard.length == 5")
        url = f"{server.url}/admin/revocations"
        httpx.post(url, headers=as_admin, json={"subject": "carol"}).raise_for_status()
        page.wait_for_function("source.readyState == EventSource.CLOSED")

    heard = [re.sub(r"\.[\w-]{22}:", ".*:", one) for one in page.evaluate("heard")]
    assert heard == [
        "false false",
        f"one {epoch}.0.*:1",
        "token_revoked",
        "true true",
        f"two {epoch}.0.*:2",
        "token_revoked",
    ]
