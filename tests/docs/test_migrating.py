"""docs/migrating.md and the README show lines of a page: they are run in Chromium as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

import httpx
import pytest
from fastapi import Cookie, Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, Page

from itemwire import Itemwire, Rights
from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import live_application
from tests.conftest import SECRET
from tests.docs.pages import ROOT, page
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE, token

pytestmark = pytest.mark.server

TEXT: Final = page("migrating.md")
SHOWN: Final = {
    "Socket.IO": ["ann: hello", "3", "null: ding"],
    "Pusher": ["1 here", "ann: hello", "null: ding"],
    "Supabase": ["1 here", "hello", "ding"],
    "Phoenix": ["1 here", "ann: hello", "3", "null: ding"],
}
"""What each of our sides shows."""


class Database:
    """The application's own."""

    async def guests_of(self, number: int) -> list[str]:
        """Return who has a key of a room."""
        return ["ann", "bob", "carol"] if number else []


def current_user(session: Annotated[str, Cookie()] = "") -> dict[str, str]:
    """Believe every cookie."""
    if not session:
        raise HTTPException(401)
    return {"id": session}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run the application that the page has in mind."""
    app = FastAPI()
    shown = re.search(r"<!-- server -->\n\n```py\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None
    names = {
        "app": app,
        "current_user": current_user,
        "CurrentUser": Annotated[dict[str, str], Depends(current_user)],
        "database": Database(),
        "HTTPException": HTTPException,
        "Itemwire": Itemwire,
        "Rights": Rights,
    }
    exec(shown[1], names)  # noqa: S102 - the page's own code
    app.get("/", response_class=HTMLResponse)(lambda: "<!doctype html>")
    with live_application(app) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


def opened(chromium: Browser, url: str, session: str = "") -> Page:
    """Open an empty page of a server, as somebody."""
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    if session:
        context.add_cookies([{"name": "session", "value": session, "url": url}])
    tab = context.new_page()
    tab.goto(url)
    return tab


def start(tab: Page, module: str, names: str = "") -> None:
    """Run lines of a module in a page; `lines` is what they show, and how they have ended."""
    body = re.sub(r"import (\{.*?\}) from (\S+);", r"const \1 = await import(\2);", module)
    tab.evaluate(f"""async () => {{
        const lines = (window.lines = []);
        const show = (line) => lines.push(`${{line}}`);
        {names}
        await (async () => {{ {body} }})().catch(({{ message }}) => show(`thrown: ${{message}}`));
    }}""")


def waits_for(tab: Page, line: str) -> None:
    """Wait until a line is shown."""
    tab.wait_for_function("(line) => lines.includes(line)", arg=line)


def ours(name: str) -> str:
    """Return our side of a section, in a room of its own."""
    shown = re.search(rf"<!-- {re.escape(name)} -->\n\n```js\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None
    return shown[1].replace("room:1", f"room:{[*SHOWN].index(name) + 1}")


@pytest.mark.parametrize("name", SHOWN)
def test_our_side_runs(name: str, chromium: Browser, server: LiveServer) -> None:
    """Who is there, what the page and the application publish, and what the application answers."""
    tab = opened(chromium, server.url, "ann")
    start(tab, ours(name))
    httpx.post(f"{server.url}/rooms/{[*SHOWN].index(name) + 1}/bell").raise_for_status()

    for line in SHOWN[name]:
        waits_for(tab, line)
    assert sorted(tab.evaluate("lines")) == sorted(SHOWN[name])


@pytest.mark.parametrize("name", SHOWN)
def test_our_side_shows_a_refusal(name: str, chromium: Browser, server: LiveServer) -> None:
    """As theirs does."""
    tab = opened(chromium, server.url, "mallory")
    start(tab, ours(name))

    for start_of_line in ("forbidden", "thrown: forbidden"):
        tab.wait_for_function(
            "(start) => lines.some((line) => line.startsWith(start))", arg=start_of_line
        )


def test_both_sides_have_ten_lines() -> None:
    """At most, so that they can be compared at a glance."""
    sides = re.findall(r"```js\n(.*?)```", TEXT, re.DOTALL)
    sizes = [len([line for line in side.splitlines() if line]) for side in sides]

    assert len(sizes) == 2 * len(SHOWN)
    assert max(sizes) <= 10


def test_the_page_of_the_readme_runs(chromium: Browser) -> None:
    """On a server of its own."""
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"```js\n(import .*?)```", readme, re.DOTALL)
    assert shown is not None
    names = (
        f'const fetchToken = () => "{token()}"; const console = {{ log: (...all) => show(all) }};'
    )
    with live_server(Settings(secret=SECRET, _env_file=None)) as running:
        tab = opened(chromium, running.url)
        start(tab, shown[1], names)
        waits_for(tab, "alice,hello")
