"""The console in a real Chromium: what a person sees, and what a browser's script can see."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from itemwire import Itemwire
from itemwire.close_reasons import CLOSE_REASONS
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE, item_path
from tests.scenarios.conftest import Serve
from tests.scenarios.console_tab import Tab

SECRET = new_secret()
RIGHTS = "items:subscribe items:publish items:history items:presence"


def token(subject: str, scope: str = RIGHTS) -> str:
    """Mint a token for this file's server."""
    return mint(signing_key_from_secret(SECRET), subject=subject, lifetime=600, scope=scope)


@pytest.fixture(scope="module")
def console(serve: Serve) -> Iterator[LiveServer]:
    """A server whose secret this file knows."""
    with serve(Settings(secret=SECRET, _env_file=None)) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


def test_two_tabs_chat_and_one_sees_the_other_leave(chromium: Browser, console: LiveServer) -> None:
    """The tutorial's promise, with names: a message shows in the other tab, leaving shows too."""
    alice = Tab(chromium, console).join("browser:1", token("alice")).is_open()
    bob = Tab(chromium, console).join("browser:1", token("bob")).is_open()

    alice.sees("#log li[data-kind=joined]", "bob joined")
    alice.send("hello bob")
    bob.sees("#log li[data-kind=message][data-sender=alice]", "hello bob")
    bob.send("hello alice")
    alice.sees("#log li[data-kind=message][data-sender=bob]", "hello alice")
    bob.page.click("#disconnect")

    alice.sees("#log li[data-kind=left]", "bob left")
    expect(alice.page.locator("#members li[data-subject=bob]")).to_have_count(0)
    assert alice.problems + bob.problems == []


def test_shows_what_the_application_itself_publishes_and_sends(chromium: Browser) -> None:
    """Nobody has sent the one, and the other has no place in the item."""
    live, app = Itemwire(settings=Settings(secret=SECRET, _env_file=None)), FastAPI()
    app.include_router(live.router, prefix="/live")
    with live_application(app) as server:
        inner = LiveServer(f"{server.url}/live", server.server)
        alice = Tab(chromium, inner).join("browser:9", token("alice")).is_open()
        live.publish_sync("browser:9", "from code")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(live.send_to("alice", "for alice"))).result(PATIENCE)

        alice.sees("#log li[data-kind=message][data-sender='']", "(application)from code")
        alice.sees("#log li[data-kind=message]", "to you alone")
        assert alice.problems == []


def test_lists_a_crowd_that_the_welcome_has_no_room_for(
    chromium: Browser, console: LiveServer
) -> None:
    """The page asks for the members after the first hundred."""
    with ExitStack() as stack:
        for number in range(101):
            path = item_path("browser:crowd", {"token": token(f"user-{number}")})
            stack.enter_context(console.connect(path))
        alice = Tab(chromium, console).join("browser:crowd", token("alice")).is_open()

        expect(alice.page.locator("#members-count")).to_have_text("102")
        expect(alice.page.locator("#members li")).to_have_count(102)
        expect(alice.page.locator("#members-note")).to_have_text("")
    assert alice.problems == []


def test_shows_the_number_of_an_audience_that_is_not_listed(
    chromium: Browser, serve: Serve
) -> None:
    """It changes with those who come and go, though no name does."""
    note = "{} connections; not all of them are listed"
    with serve(Settings(secret=SECRET, presence_limit=1, _env_file=None)) as server:
        alice = Tab(chromium, server).join("browser:crowd", token("alice")).is_open()
        path = item_path("browser:crowd", {"token": token("bob")})
        with ExitStack() as stack:
            for number in (2, 3):
                stack.enter_context(server.connect(path))
                expect(alice.page.locator("#members-note")).to_have_text(note.format(number))
        expect(alice.page.locator("#members-note")).to_have_text("")
        expect(alice.page.locator("#members li")).to_have_count(1)
        expect(alice.page.locator("#log li[data-kind=joined]")).to_have_count(0)
    assert alice.problems == []


@pytest.mark.parametrize(
    ("credential", "item", "shown"),
    [
        pytest.param("not.a.token", "browser:2", ("1008", "credentials_invalid"), id="bad token"),
        pytest.param("", "browser:2", ("1008", "credentials_missing"), id="no token"),
        pytest.param("elsewhere", "browser:2", ("", "forbidden"), id="another item"),
        pytest.param("good", "browser 2", ("", "item_invalid"), id="bad item"),
        pytest.param("good", "browser/2", ("", "item_invalid"), id="an item with a slash"),
    ],
)
def test_a_refusal_shows_its_code_and_reason(
    chromium: Browser, console: LiveServer, credential: str, item: str, shown: tuple[str, str]
) -> None:
    """A browser's CloseEvent carries them; a handshake denied over HTTP would say 1006 and "".

    What is refused about an item has no code: the connection stays, and is good for others.
    """
    code, reason = shown
    tokens = {
        "good": token("alice"),
        "elsewhere": token("alice", "items:other:subscribe"),
    }
    tab = Tab(chromium, console).join(item, tokens.get(credential, credential))

    closed = tab.page.locator(f'#close[data-code="{code}"][data-reason="{reason}"]')
    expect(closed).to_be_visible()
    expect(closed).to_contain_text(code)
    expect(tab.page.locator("#state")).to_have_attribute("data-state", "closed" if code else "open")
    expect(closed).to_contain_text(reason)


def test_the_token_leaves_the_address_bar_and_its_claims_are_shown(
    chromium: Browser, console: LiveServer
) -> None:
    """The link's fragment must not stay in the history, or on a screenshot."""
    tab = Tab(chromium, console)
    tab.page.goto(f"{console.url}/#item=browser:3&token={token('alice')}")

    expect(tab.page.locator("#claims[data-state=decoded]")).to_contain_text("alice")
    assert tab.page.evaluate("location.hash") == "#item=browser:3"


def test_a_number_keeps_its_digits(chromium: Browser, console: LiveServer) -> None:
    """JavaScript would round it, on its way there and back."""
    tab = Tab(chromium, console).join("browser:8", token("alice")).is_open()
    tab.page.check("#json")
    tab.send('{"id": 12345678901234567891}')

    tab.sees("#log li[data-kind=message][data-payload=json]", '{"id":12345678901234567891}')
    assert tab.problems == []


def test_comes_back_by_itself_and_shows_what_it_has_missed(chromium: Browser) -> None:
    """It has the client's connection, and none of its own."""
    live, app = Itemwire(settings=Settings(secret=SECRET, _env_file=None)), FastAPI()
    app.include_router(live.router, prefix="/live")
    with live_application(app) as server:
        inner = LiveServer(f"{server.url}/live", server.server)
        alice = Tab(chromium, inner).join("browser:10", token("alice")).is_open()
        alice.page.evaluate("dispatchEvent(new Event('pagehide'))")
        expect(alice.page.locator("#state")).to_have_attribute("data-state", "reconnecting")
        live.publish_sync("browser:10", "meanwhile")
        alice.page.evaluate("dispatchEvent(new Event('pageshow'))")

        alice.is_open().sees("#log li[data-kind=message]", "meanwhile")
        assert alice.problems == []


def test_hostile_messages_are_shown_and_never_run(chromium: Browser, console: LiveServer) -> None:
    """Anyone who may publish may not script the others."""
    tab = Tab(chromium, console).join("browser:4", token("<img src=x onerror=alert(1)>")).is_open()
    tab.send("<img src=x onerror=alert(2)>")

    tab.sees("#log li[data-kind=message]", "<img src=x onerror=alert(2)>")
    expect(tab.page.locator("#log img, #members img")).to_have_count(0)
    assert tab.problems == []


def test_a_pages_own_script_may_offer_its_token_as_a_subprotocol(
    chromium: Browser, console: LiveServer
) -> None:
    """As the README shows it: out of the URL, beside the name of the codec."""
    tab = Tab(chromium, console)
    tab.page.goto(console.url)
    heard = tab.page.evaluate(
        """([url, token]) => new Promise((resolve) => {
            const socket = new WebSocket(url, ["itemwire.v1.plain", `itemwire.token.${token}`]);
            socket.onopen = () => socket.send("hello");
            socket.onmessage = (event) => resolve([event.data, socket.protocol]);
            socket.onclose = (event) => resolve([event.code, event.reason]);
        })""",
        [console.socket_url("/items/browser:7/ws"), token("alice")],
    )

    assert heard == ["hello", "itemwire.v1.plain"]


def test_the_server_going_away_is_told(chromium: Browser, serve: Serve) -> None:
    """With the code that says to come back, not a bare 1006."""
    with serve(Settings(secret=SECRET, _env_file=None)) as server:
        tab = Tab(chromium, server).join("browser:5", token("alice")).is_open()

    expect(tab.page.locator('#close[data-code="1012"]')).to_be_visible()


def test_the_page_knows_the_verdict_of_every_reason(chromium: Browser, console: LiveServer) -> None:
    """The page's own table is a copy; it must not drift from the registry."""
    tab = Tab(chromium, console)
    tab.page.goto(console.url)
    verdicts: dict[str, str] = tab.page.evaluate(
        "import('/console/closing.js').then(module => Object.fromEntries("
        "Object.entries(module.REASONS).map(([reason, row]) => [reason, row[0]])))"
    )

    assert {row.reason: row.retry for row in CLOSE_REASONS.values()}.items() <= verdicts.items()


def test_a_thousand_messages_do_not_freeze_the_page(chromium: Browser, console: LiveServer) -> None:
    """The log is bounded and drawn once a frame."""
    tab = Tab(chromium, console).join("browser:6", token("alice")).is_open()
    with console.connect(f"/items/browser:6/ws?token={token('bob')}") as bob:
        for number in range(1000):
            bob.send(f"message {number}")
        asked = time.monotonic()
        tab.sees("#log li", "message 999")
        tab.page.fill("#message", "still here")

        assert time.monotonic() - asked < PATIENCE
        for _ in range(1000):  # its own: what a client has not read keeps it from closing
            bob.recv(timeout=PATIENCE)
    assert tab.page.locator("#log li").count() <= 500
    assert tab.problems == []
