"""The operations page in a real Chromium, over two nodes on Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import Cookie, FastAPI, HTTPException
from playwright.sync_api import Browser, Page, Route, expect

from itemwire import Itemwire
from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import live_application
from tests.conftest import SECRET
from tests.redis_server import running_redis
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import EVERYTHING, closed, json_client, token
from tests.scenarios.operator_tab import OPERATOR, Operator


@dataclass(frozen=True, slots=True)
class Nodes:
    """Two servers that share an engine; the page is opened on the first."""

    first: LiveServer
    second: LiveServer


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Run them."""
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis(tmp_path_factory.mktemp("redis")))
        settings = Settings(secret=SECRET, admin=True, engine_url=redis.url, _env_file=None)
        first, second = (stack.enter_context(live_server(settings)) for _ in range(2))
        yield Nodes(first, second)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


def plot(page: Page, figure: str) -> str:
    """Select the plot of a figure."""
    return f".plot[data-figure={figure}]"


def test_the_plots_move_and_show_all_nodes(chromium: Browser, nodes: Nodes) -> None:
    """Summed, each on its own, and one of them; a line is drawn further each second."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    with ExitStack() as stack:
        for server in (nodes.first, nodes.second, nodes.second):
            client = stack.enter_context(json_client(server, "plot:1", scope=EVERYTHING))
        client.ask("publish", data="counted")
        # Three clients and the page itself.
        expect(page.locator(f"{plot(page, 'connections')} .now")).to_have_text("4")
        drawn = page.locator(f"{plot(page, 'memory_bytes')} path").get_attribute("d")
        page.wait_for_function(
            "([selector, before]) => document.querySelector(selector).getAttribute('d') != before",
            arg=[f"{plot(page, 'memory_bytes')} path", drawn],
        )

        page.select_option("#view", "each")
        legend = page.locator(f"{plot(page, 'connections')} .legend li")
        expect(legend).to_have_count(2)
        expect(legend.locator("text=/ 2$/")).to_have_count(2)
        names = page.locator("#nodes tr td:first-child").all_inner_texts()
        page.select_option("#view", f"node {names[0]}")
        expect(page.locator(f"{plot(page, 'connections')} .now")).to_have_text("2")
    assert operator.problems == []


def test_refusals_and_closes_are_told_by_reason(chromium: Browser, nodes: Nodes) -> None:
    """As the reasons of the log and of the close frames."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    nodes.second.refusal("/items/refused/ws?token=not.a.token")

    legend = operator.page.locator(f"{plot(operator.page, 'refusals_per_second')} .legend")
    expect(legend).to_contain_text("credentials_invalid")


def test_channels_are_listed_by_use_and_found_by_pattern(chromium: Browser, nodes: Nodes) -> None:
    """Of both nodes; a press on one shows it."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    with ExitStack() as stack:
        for server, item in (
            (nodes.first, "list:a"),
            (nodes.second, "list:a"),
            (nodes.second, "list:b"),
        ):
            stack.enter_context(json_client(server, item))
        page.fill("#pattern", "list:*")
        rows = page.locator("#channels tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_have_text("list:a22200")
        page.fill("#pattern", "*:b")
        expect(rows).to_have_count(1)
        page.locator("#channels button", has_text="list:b").press("Enter")
        expect(page.locator("#item")).to_have_value("list:b")
        expect(page.locator("#item-facts")).to_contain_text("Listeners1: 1 on")
    assert operator.problems == []


def test_a_connection_is_ended_and_its_client_sees_it(chromium: Browser, nodes: Nodes) -> None:
    """On whichever node it is; the other one of the same subject stays."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    with (
        json_client(nodes.second, "end:1", "endy") as ended,
        json_client(nodes.first, "end:2", "endy") as kept,
    ):
        operator.look_up("#subject", "endy")
        rows = page.locator("#connections tr")
        expect(rows).to_have_count(2)
        connection = ended.welcome["connection"]
        row = page.locator(f"#connections tr[data-key='{connection}']")
        expect(row).to_contain_text("end:1")
        expect(row).to_contain_text("json")
        row.get_by_role("button", name=f"End {connection}").press("Enter")

        expect(rows).to_have_count(1)
        expect(page.locator("#subject-said")).to_have_text(
            f"Ended {connection}. endy: 1 connection"
        )
        assert closed(ended.connection)[0] == 1008
        assert kept.ask("ping")["type"] == "pong"
    assert operator.problems == []


def test_a_subject_is_revoked_once_the_question_is_answered(
    chromium: Browser, nodes: Nodes
) -> None:
    """Escape and Cancel leave all as it is."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    with json_client(nodes.second, "revoke:1", "revy") as client:
        operator.look_up("#subject", "revy")
        expect(page.locator("#connections tr")).to_have_count(1)
        page.select_option("#revoke-how", "3600")
        page.click("#revoke button")
        operator.confirm("no")
        page.click("#revoke button")
        expect(page.locator("#confirm")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#confirm")).to_be_hidden()
        assert client.ask("ping")["type"] == "pong"

        page.click("#revoke button")
        operator.confirm("yes")
        expect(page.locator("#subject-said")).to_contain_text("Revoked: all tokens, for an hour.")
        assert closed(client.connection) == (1008, "token_revoked")
    assert operator.problems == []


def test_an_item_is_read_published_to_and_emptied(chromium: Browser, nodes: Nodes) -> None:
    """What is published reaches the other node; to empty a history is asked about first."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    with json_client(nodes.second, "item:1", "bob", scope=EVERYTHING) as bob:
        bob.ask("publish", data="from bob")
        operator.look_up("#item", "item:1")
        expect(page.locator("#history")).to_contain_text("from bob")
        expect(page.locator("#members")).to_contain_text("bob")

        page.check("#json")
        operator.look_up("#message", '{"by": "operator"}')
        expect(page.locator("#item-said")).to_have_text("Published.")
        expect(page.locator("#history li")).to_have_count(2)
        assert [one["data"] for one in bob.messages(2)] == ["from bob", {"by": "operator"}]

        page.click("#erase")
        operator.confirm("no")
        expect(page.locator("#history li")).to_have_count(2)
        page.click("#erase")
        operator.confirm("yes")
        expect(page.locator("#item-said")).to_have_text("The history is empty.")
        expect(page.locator("#history")).to_have_text("None is kept.")
    assert operator.problems == []


def test_what_a_token_for_administration_alone_may_not_read_is_told(
    chromium: Browser, nodes: Nodes
) -> None:
    """The figures of an item are for operators, and its messages for those with rights on it."""
    page = Operator(chromium, nodes.first).sign_in("admin").is_live().page
    page.fill("#item", "item:2")
    page.press("#item", "Enter")

    expect(page.locator("#item-facts")).to_contain_text("Listeners0")
    expect(page.locator("#history")).to_contain_text("the token lacks the right for it")


def test_a_token_is_explained(chromium: Browser, nodes: Nodes) -> None:
    """The check that fails, by name."""
    page = Operator(chromium, nodes.first).sign_in().is_live().page
    page.fill("#explain-item", "order:1")
    page.select_option("#explain-action", "publish")
    page.fill("#explain-token", token("alice", "items:subscribe"))
    page.press("#explain-token", "Enter")

    expect(page.locator("#explained")).to_contain_text("It would be refused: scope_missing.")
    expect(page.locator("#explained li[data-passed=false]")).to_contain_text("action")


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        pytest.param(token("alice", lifetime=3600), "you do not administer", id="a user's token"),
        pytest.param("not.a.token", "credentials_invalid", id="a wrong token"),
        pytest.param("not a/token…", "credentials_invalid", id="what is no token at all"),
        pytest.param("", "credentials_missing", id="none"),
    ],
)
def test_who_is_no_operator_is_told_so(
    chromium: Browser, nodes: Nodes, credential: str, told: str
) -> None:
    """And sees nothing of the panels."""
    page = Operator(chromium, nodes.first).page
    page.fill("#token", credential)
    page.press("#token", "Enter")

    expect(page.locator("#close")).to_contain_text(told)
    expect(page.locator("#state")).to_contain_text("Refused")
    expect(page.locator("main > section:visible")).to_have_count(1)


def test_an_operator_of_an_application_needs_no_token(chromium: Browser) -> None:
    """The application has logged him in by a cookie, and says itself that he is one."""

    @dataclass
    class Person:
        id: str

    async def operator(session: Annotated[str | None, Cookie()] = None) -> Person:
        if session != "boss":
            raise HTTPException(403 if session else 401)
        return Person(session)

    live, app = Itemwire(user=operator, operator=operator), FastAPI()
    app.include_router(live.router, prefix="/live")
    with live_application(app) as server:
        inner = LiveServer(f"{server.url}/live", server.server)
        operators = Operator(chromium, inner)
        page = operators.page
        page.context.add_cookies([{"name": "session", "value": "boss", "url": server.url}])
        page.press("#token", "Enter")
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#nodes tr")).to_have_count(1)
        page.click("#sign-out")
        page.context.add_cookies([{"name": "session", "value": "joe", "url": server.url}])
        page.press("#token", "Enter")
        expect(page.locator("#close")).to_contain_text("you do not administer")
        assert operators.problems == []


def test_the_token_is_kept_nowhere_and_gone_after_signing_out(
    chromium: Browser, nodes: Nodes
) -> None:
    """Not in the address, in the storage of the browser, or in the box."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    kept = "[location.href, JSON.stringify({...localStorage, ...sessionStorage}), document.cookie]"
    address, storage, cookie = page.evaluate(kept)
    assert (storage, cookie) == ("{}", "")
    assert "eyJ" not in address
    expect(page.locator("#token")).to_have_value("")

    page.click("#sign-out")
    expect(page.locator("main > section:visible")).to_have_count(1)
    expect(page.locator("#channels tr, #nodes tr")).to_have_count(0)
    assert operator.problems == []


def test_an_answer_that_comes_after_signing_out_is_not_shown(
    chromium: Browser, nodes: Nodes
) -> None:
    """The next to sign in may be another operator."""
    operator = Operator(chromium, nodes.first).sign_in().is_live()
    page = operator.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/admin/connections*", hold)
    with page.expect_request("**/admin/connections*"):
        operator.look_up("#subject", "root")
    page.click("#sign-out")
    with page.expect_response("**/admin/connections*"):
        held[0].continue_()
    operator.sign_in().is_live()

    expect(page.locator("#subject-said")).to_have_text("")
    expect(page.locator("#connections tr")).to_have_count(0)
    assert operator.problems == []


def test_a_token_that_is_revoked_ends_the_watch(chromium: Browser, nodes: Nodes) -> None:
    """Nothing is shown any more, and the page says why."""
    page = Operator(chromium, nodes.first).page
    page.fill("#token", token("other root", OPERATOR))
    page.press("#token", "Enter")
    expect(page.locator("#nodes tr")).to_have_count(2)
    other = Operator(chromium, nodes.second).sign_in().is_live()
    other.look_up("#subject", "other root")
    other.page.locator("#connections button").click()

    expect(page.locator("#close")).to_contain_text("token_revoked")
    expect(page.locator("main > section:visible")).to_have_count(1)


def test_an_hour_is_kept_and_no_more(chromium: Browser, nodes: Nodes) -> None:
    """However long the page is open; a node that has gone is forgotten with its last sample."""
    page = Operator(chromium, nodes.first).page
    found = page.evaluate(
        """async () => {
            const { Hour } = await import("/ops/hour.js");
            const hour = new Hour();
            for (let at = 0; at < 3 * 3600; at += 1) {
                if (at < 600) hour.add("gone", { at, connections: 7, loop_lag_ms: 9 });
                hour.add("there", { at, connections: 2, loop_lag_ms: at % 10 });
            }
            const both = hour.nodes;
            const values = hour.series("connections", both);
            return [both, values.length, Math.max(...values), hour.series("loop_lag_ms", both)[5]];
        }"""
    )

    assert found == [["there"], 360, 2, 9]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_has_no_barrier_that_axe_knows(
    chromium: Browser, nodes: Nodes, scheme: str, width: int
) -> None:
    """With every panel filled, and the question open at last; nothing is wider than the screen."""
    operator = Operator(
        chromium, nodes.first, color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    page = operator.page
    assert Axe().run(page).response["violations"] == []
    operator.sign_in().is_live()
    with json_client(nodes.second, "axe:1", "bob", scope=EVERYTHING) as bob:
        bob.ask("publish", data="hello")
        page.fill("#pattern", "axe:*")
        page.locator("#channels button", has_text="axe:1").click()
        expect(page.locator("#history")).to_contain_text("hello")
        operator.look_up("#subject", "bob")
        expect(page.locator("#connections tr")).to_have_count(1)
        operator.look_up("#explain-token", token())
        expect(page.locator("#explained .checks")).to_be_visible()
        page.select_option("#view", "each")

        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("#erase")
        assert Axe().run(page).response["violations"] == []
