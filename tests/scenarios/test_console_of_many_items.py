"""The console in a real Chromium: many items, frames, refresh, resume, tickets, events, why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import EVERYTHING, json_client, token
from tests.scenarios.conftest import Serve, fastpath_only
from tests.scenarios.console_tab import Tab

pytestmark = fastpath_only

SHOWN = "#log ol:not([hidden]) li"
MESSAGE = f"{SHOWN}[data-kind=message]"
FRAME = "#frames li"


@pytest.fixture(scope="module")
def console(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that keeps two messages and has the admin API."""
    with serve(Settings(secret=SECRET, admin=True, history_size=2, _env_file=None)) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


def tell(server: LiveServer, item: str, *texts: str) -> None:
    """Publish as somebody else."""
    with json_client(server, item, "bob") as bob:
        for text in texts:
            assert bob.ask("publish", data=text)["type"] == "reply"


def test_many_items_on_one_socket_each_have_a_log(chromium: Browser, console: LiveServer) -> None:
    """A tab an item; what comes to another one is counted, and arrow keys go there."""
    tab = Tab(chromium, console)
    sockets: list[str] = []
    tab.page.on("websocket", lambda socket: sockets.append(socket.url))
    tab.join_all(["many:1", "many:2"], token())
    other = tab.page.get_by_role("tab", name="many:2")
    expect(tab.page.locator("#tabs [data-state=joined]")).to_have_count(2)
    tell(console, "many:2", "for two")

    expect(other.locator(".tag")).to_contain_text("1")
    expect(tab.page.locator(MESSAGE)).to_have_count(0)
    tab.page.get_by_role("tab", name="many:1").press("ArrowRight")
    tab.sees(MESSAGE, "for two")
    tab.page.fill("#item", "many:3")
    tab.page.press("#item", "Enter")
    expect(tab.page.locator("#tabs [data-state=joined]")).to_have_count(3)
    tab.send("for three")
    tab.sees(MESSAGE, "for three")
    tab.page.click("#leave")
    expect(tab.page.locator("#tabs [role=tab]")).to_have_count(2)
    assert len(sockets) == 1
    assert tab.problems == []


def test_the_address_names_the_view_and_never_the_token(
    chromium: Browser, console: LiveServer
) -> None:
    """It is what people send each other."""
    tab = Tab(chromium, console).join_all(["link:1"], token(), replay=2, via="ticket")
    tab.page.fill("#item", "link:2")
    tab.page.click("#connect")

    shown = "#item=link:1&item=link:2&replay=2&via=ticket"
    tab.page.wait_for_function(f"location.hash == '{shown}'")
    again = Tab(chromium, console)
    again.page.goto(f"{console.url}/{shown}")
    expect(again.page.locator("#item")).to_have_value("link:1, link:2")
    expect(again.page.locator("#via")).to_have_value("ticket")
    expect(again.page.locator("#token")).to_have_value("")


def test_frames_are_shown_as_they_travel(chromium: Browser, console: LiveServer) -> None:
    """Raw, with direction and size; held while paused; no credential is among them."""
    credential = token()
    tab = Tab(chromium, console).join_all(["frames:1"], credential)
    tab.page.click("#frames summary")

    tab.sees(f"{FRAME}[data-way=open]", "/ws?hints=1")
    tab.sees(f"{FRAME}[data-way=open]", "itemwire.token.…")
    tab.sees(f"{FRAME}[data-way=in]", '{"type":"welcome",')
    tab.send("héllo")
    tab.sees(f"{FRAME}[data-way=out]", '"data":"héllo"')
    sent = tab.page.locator(f"{FRAME}[data-way=out]", has_text="héllo")
    text = sent.locator("code").inner_text()
    expect(sent.locator(".size")).to_have_text(f"{len(text.encode())} B")

    tab.page.click("#frames button:text('Pause')")
    tell(console, "frames:1", "while paused")
    tab.sees(MESSAGE, "while paused")
    expect(tab.page.locator(FRAME, has_text="while paused")).to_have_count(0)
    tab.page.click("#frames button:text('Pause')")
    tab.sees(FRAME, "while paused")
    assert credential not in tab.page.content()
    tab.page.click("#frames button:text('Clear')")
    expect(tab.page.locator(FRAME)).to_have_count(0)


def test_no_more_frames_are_kept_than_people_read(chromium: Browser, console: LiveServer) -> None:
    """A busy item must not fill the memory, paused or not."""
    tab = Tab(chromium, console).join_all(["frames:2"], token())
    with console.connect(f"/items/frames:2/ws?token={token('bob')}") as bob:
        for number in range(400):
            bob.send(f"message {number}")
        tab.sees(MESSAGE, "message 399")
        for _ in range(400):
            bob.recv(timeout=60)
    tab.page.click("#frames summary")

    tab.sees(FRAME, "message 399")
    assert tab.page.locator(FRAME).count() <= 300


def test_a_new_token_is_presented_on_the_open_connection(
    chromium: Browser, console: LiveServer
) -> None:
    """The rights are those of the new one; its text is in no frame."""
    tab = Tab(chromium, console).join_all(["refresh:1"], token(scope="items:subscribe"))
    expect(tab.page.locator("#message")).to_have_attribute(
        "placeholder", "This token may not publish here"
    )
    tab.page.click("#frames summary")
    tab.page.fill("#token", token(scope=EVERYTHING))
    tab.page.click("#refresh")

    tab.sees(SHOWN, "the token was refreshed")
    tab.sees(f"{FRAME}[data-way=out]", '"type":"refresh","token":"…"')
    tab.send("now I may")
    tab.sees(MESSAGE, "now I may")
    tab.page.fill("#token", token("somebody else"))
    tab.page.click("#refresh")
    tab.sees(f"{SHOWN}[data-kind=error]", "credentials_invalid")
    expect(tab.page.locator("#state")).to_have_attribute("data-state", "open")


def test_a_broken_line_resumes_or_tells_what_is_lost(
    chromium: Browser, console: LiveServer
) -> None:
    """The server keeps two messages: of one nothing is lost, and of three something is."""
    tab = Tab(chromium, console).join_all(["resume:1"], token())
    tell(console, "resume:1", "one")
    tab.sees(MESSAGE, "one")

    tab.page.click("#break")
    expect(tab.page.locator("#state")).to_have_text("Broken")
    tell(console, "resume:1", "two")
    tab.page.click("#break")
    tab.sees(SHOWN, "resumed; nothing is lost; missed messages that follow: 1")
    tab.sees(MESSAGE, "two")

    tab.page.click("#break")
    tell(console, "resume:1", "three", "four", "five")
    tab.page.click("#break")
    tab.sees(f"{SHOWN}[data-kind=error]", "not resumed")
    tab.sees(f"{SHOWN}[data-kind=error]", "messages 3 to 5 were missed")
    assert tab.problems == []


def test_connects_by_a_ticket(chromium: Browser, console: LiveServer) -> None:
    """Another one at each handshake, and the token itself is not in it."""
    tab = Tab(chromium, console)
    urls: list[str] = []
    tab.page.on("websocket", lambda socket: urls.append(socket.url))
    tab.join_all(["ticket:1"], token(), via="ticket")
    tab.page.click("#break")
    expect(tab.page.locator("#state")).to_have_text("Broken")
    tab.page.click("#break")
    tab.is_open()
    tab.page.click("#frames summary")

    expect(tab.page.locator(f"{FRAME}[data-way=http]")).to_have_count(2)
    tab.sees(f"{FRAME}[data-way=open]", "&ticket=…")
    assert len({url.partition("&ticket=")[2] for url in urls}) == 2
    assert tab.problems == []


def test_a_ticket_that_is_refused_says_why(chromium: Browser, console: LiveServer) -> None:
    """The token was not accepted where the ticket was asked for."""
    tab = Tab(chromium, console)
    tab.page.goto(f"{console.url}/#item=ticket:2&via=ticket&token=not.a.token")
    tab.page.click("#connect")

    expect(tab.page.locator("#close[data-reason=credentials_invalid]")).to_contain_text("401")
    expect(tab.page.locator("#state")).to_have_attribute("data-state", "closed")


def test_server_sent_events_beside_the_socket(chromium: Browser, console: LiveServer) -> None:
    """The same item by both ways; opened again, it goes on where it ended."""
    tab = Tab(chromium, console).join_all(["events:1"], token())
    tab.page.click("#frames summary")
    tab.page.click("#sse")
    tab.sees(SHOWN, "events: open at offset 0")
    tab.send("by both")
    tab.sees(f"{FRAME}[data-way=sse]", '"data":"by both"')
    tab.page.click("#sse")
    tab.sees(SHOWN, "the stream of events has ended after 1 messages")
    tab.page.click("#sse")
    tab.sees(SHOWN, "events: resumed at offset 1")
    assert tab.problems == []


def test_a_stream_that_is_refused_says_why(chromium: Browser, console: LiveServer) -> None:
    """An `EventSource` would hide the answer."""
    tab = Tab(chromium, console).join_all(["events:2"], token())
    tab.page.fill("#token", "not.a.token")
    tab.page.click("#sse")

    tab.sees(f"{SHOWN}[data-kind=error]", "events: 401 credentials_invalid. The server does not")
    expect(tab.page.locator("#sse")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    ("asked_with", "shown"),
    [("admin", "It would be refused: scope_missing."), ("items:subscribe", "does not administer")],
)
def test_an_operator_asks_the_server_why(
    chromium: Browser, console: LiveServer, asked_with: str, shown: str
) -> None:
    """A close tells a stranger little; the check that fails is told to operators only."""
    tab = Tab(chromium, console).join_all(["why:1"], token(scope="items:subscribe"))
    tab.page.click("summary:has-text('Why?')")
    tab.page.fill("#admin", token("root", asked_with))
    tab.page.select_option("#explain-action", "publish")
    tab.page.click("#explain button")

    tab.sees("#explained", shown)
    failed = tab.page.locator("#explained li[data-passed=false]", has_text="action")
    expect(failed).to_have_count(1 if asked_with == "admin" else 0)


def test_without_an_admin_api_it_says_so(
    chromium: Browser, server: LiveServer, item_id: str
) -> None:
    """Nobody looks for the fault in the token."""
    tab = Tab(chromium, server).join_all([item_id], token())
    tab.page.click("summary:has-text('Why?')")
    tab.page.fill("#admin", token("root", "admin"))
    tab.page.click("#explain button")

    tab.sees("#explained", "ITEMWIRE_ADMIN=true switches it on")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_has_no_barrier_that_axe_knows(
    chromium: Browser, console: LiveServer, scheme: str, width: int
) -> None:
    """With everything open that can be, and a refusal shown; nothing is wider than the screen."""
    tab = Tab(chromium, console, color_scheme=scheme, viewport={"width": width, "height": 800})
    tab.join_all(["axe:1", "not/an/item"], token())
    tab.page.click("#frames summary")
    tab.page.click("#sse")
    tab.send("hello")
    tab.sees(MESSAGE, "hello")
    tab.page.click("summary:has-text('Why?')")
    tab.page.fill("#admin", token("root", "admin"))
    tab.page.click("#explain button")
    tab.sees("#explained", "It would be accepted.")
    tab.page.get_by_role("tab", name="not/an/item").click()
    expect(tab.page.locator("#close[data-reason=item_invalid]")).to_be_visible()

    assert Axe().run(tab.page).response["violations"] == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
