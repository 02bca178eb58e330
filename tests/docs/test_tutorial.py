"""docs/tutorial.md does what it says: its file grows step by step, and each step is run."""

import ast
import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.docs.pages import DOCS, page, run_tests

TEXT = page("tutorial.md")
EXAMPLE = DOCS / "examples" / "shop.py"
TEST = "<!-- test_shop.py -->\n\n"

WHAT_A_READER_TESTS_NEXT = """
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from shop import app, current_user


def test_only_the_customer_rates() -> None:
    with TestClient(app) as client:
        for name, status in {"carol": 200, "sam": 403}.items():
            app.dependency_overrides[current_user] = lambda: {"id": name}
            answer = client.post("/live/items/order:7/requests/rate", json={"stars": 4})
            assert answer.status_code == status


def test_a_stranger_is_refused() -> None:
    app.dependency_overrides[current_user] = lambda: {"id": "mallory"}
    with TestClient(app) as client, client.websocket_connect("/live/items/order:7/ws") as socket:
        with pytest.raises(WebSocketDisconnect) as refused:
            socket.receive_json()
    assert refused.value.reason == "forbidden"
"""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def blocks() -> list[str]:
    """Return what the page adds to `shop.py`, in order."""
    return re.findall(r"```py\n(.*?)```", TEXT.replace(f"{TEST}```py", "```"), re.DOTALL)


def marked(name: str, language: str) -> str:
    """Return a whole file that the page shows."""
    shown = re.search(rf"<!-- {re.escape(name)} -->\n\n```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None
    return shown[1]


def name_of(statement: ast.stmt) -> str:
    """Return the name that a statement defines, or ''."""
    return getattr(statement, "name", "")


def grown(steps: int) -> ast.Module:
    """Return `shop.py` after so many steps that add to it.

    Imports come first; what has the name of something that is there takes its place, after what
    the step shows before it; everything else is added at the end.
    """
    imports: list[ast.stmt] = []
    body: list[ast.stmt] = []
    for block in blocks()[:steps]:
        new: list[ast.stmt] = []
        for statement in ast.parse(block).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                imports.append(statement)
                continue
            new.append(statement)
            names = [name_of(one) for one in body]
            if name_of(statement) and name_of(statement) in names:
                place = names.index(name_of(statement))
                body[place : place + 1] = new
                new = []
        body += new
    return ast.Module([*imports, *body], [])


def outline(module: ast.Module) -> tuple[set[str], list[str]]:
    """Return the names that a module imports, and its other statements."""
    imported: set[str] = set()
    others: list[str] = []
    for statement in module.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            origin = getattr(statement, "module", "")
            imported |= {f"{origin}.{alias.name}" for alias in statement.names}
        else:
            others.append(ast.unparse(statement))
    return imported, others


def run(steps: int, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import `shop.py` as it is after so many steps."""
    module = ModuleType("shop")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(grown(steps), "shop.py", "exec"), vars(module))  # noqa: S102 - the page's own code
    return module


def reason(server: LiveServer, item: str = "order:7", cookie: str = "") -> str:
    """Return why a socket is refused."""
    headers = {"cookie": cookie} if cookie else None
    return server.refusal(f"/live/items/{item}/ws", headers=headers).reason


def first_channel(server: LiveServer) -> None:
    """One talks to oneself."""
    with server.connect("/live/items/order:7/ws") as socket:
        socket.send("hello")
        assert socket.recv(timeout=20) == "hello"
    assert reason(server, "order:seven") == "item_invalid"


def log_in(name: str) -> str:
    """Return the cookie of a user who has logged in."""
    sessions = {name: session for session, name in sys.modules["shop"].SESSIONS.items()}
    return f"session={sessions[name]}"


def who_is_calling(server: LiveServer) -> None:
    """The application's sessions decide, and a foreign page is nobody."""
    assert reason(server) == "credentials_missing"
    assert reason(server, cookie="session=x") == "credentials_invalid"
    cookie = log_in("carol")
    with server.client("/live/items/order:7/ws", headers={"cookie": cookie}) as client:
        assert client.welcome()["subject"] == "carol"
    foreign = {"cookie": cookie, "origin": "https://evil.example"}
    assert server.refusal("/live/items/order:7/ws", headers=foreign).reason == "origin_denied"


def who_may_do_what(server: LiveServer) -> None:
    """The parties of the order, and nobody else."""
    for name, rights in {"carol": {"subscribe", "history"}, "sam": {"publish"}}.items():
        headers = {"cookie": log_in(name)}
        with server.client("/live/items/order:7/ws", headers=headers) as client:
            assert rights <= set(client.welcome()["can"])
    assert reason(server, cookie=log_in("mallory")) == "forbidden"
    assert reason(server, "order:8", log_in("sam")) == "forbidden"


def publish(server: LiveServer) -> None:
    """Only the seller ships, and only once."""
    url = f"{server.url}/orders/7/ship"
    headers = {"cookie": log_in("sam")}
    with server.connect("/live/items/order:7/ws", headers=headers) as socket:
        shipped = [httpx.post(url, headers=headers).json() for _ in range(2)]
        assert socket.recv(timeout=20) == '{"status":"shipped"}'
    assert shipped == [1, 1]
    assert httpx.post(url, headers={"cookie": log_in("carol")}).status_code == 403


def typed_messages(server: LiveServer) -> None:
    """What does not fit is refused to whoever publishes it, and the route goes on."""
    headers = {"cookie": log_in("sam")}
    with server.client("/live/items/order:7/ws", headers=headers) as client:
        lost, packed = (client.publish({"status": status}) for status in ("lost", "packed"))
        assert httpx.post(f"{server.url}/orders/7/ship", headers=headers).status_code == 200
        assert client.message(data={"status": "shipped"})
    assert lost["code"] == "payload_invalid"
    assert "data.status: Input should be 'packed' or 'shipped'" in lost["detail"]
    assert packed["type"] == "reply"


def in_the_page(server: LiveServer) -> None:
    """`test_shop_in_a_browser` looks at it; before the file is there, its route is."""
    assert "/" in httpx.get(f"{server.url}/openapi.json").json()["paths"]


def messages_from_the_client(server: LiveServer) -> None:
    """A request is answered, on a socket as over HTTP; who may not ask is told why."""
    carol, sam = ({"cookie": log_in(name)} for name in ("carol", "sam"))
    with server.client("/live/items/order:7/ws", headers=carol) as client:
        reply = client.ask("request", name="rate", data={"stars": 5})
        wrong = client.ask("request", name="rate", data={"stars": 6})
    headers = sam | {"origin": server.url}
    url = f"{server.url}/live/items/order:7/requests/rate"
    refused = httpx.post(url, headers=headers, json={"stars": 5}).json()
    assert (reply["data"], wrong["code"]) == (5.0, "payload_invalid")
    assert (refused["code"], refused["detail"]) == (
        "forbidden",
        "Only the customer rates an order.",
    )


STEPS = [
    first_channel,
    who_is_calling,
    who_may_do_what,
    publish,
    typed_messages,
    in_the_page,
    messages_from_the_client,
]


@pytest.mark.parametrize(("steps", "works"), [*enumerate(STEPS, start=1)])
def test_the_file_works_after_each_step(
    steps: int, works: Callable[[LiveServer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who stops there has something that runs."""
    with live_application(run(steps, monkeypatch).app) as server:
        works(server)


def test_it_becomes_the_example() -> None:
    """Which `test_shop_in_a_browser` runs; it has docstrings besides."""
    example = ast.parse(EXAMPLE.read_text())
    for node in ast.walk(example):
        if isinstance(node, Documented) and ast.get_docstring(node):
            del node.body[0]

    assert outline(example) == outline(grown(len(blocks())))
    shown = ("docs/examples/shop.html", "docs/examples/shop.html goes on")
    assert (DOCS / "examples" / "shop.html").read_text() == "".join(
        marked(name, "html") for name in shown
    )


def source(steps: int) -> list[str]:
    """Return the lines of `shop.py` after so many steps."""
    return [line for line in ast.unparse(grown(steps)).splitlines() if line]


def added(before: list[str], after: list[str]) -> int:
    """Return how many lines a step adds, or puts in the place of others."""
    matches = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return len(after) - sum(match.size for match in matches)


def test_each_step_adds_ten_lines_at_most_to_a_file() -> None:
    """Eight steps: to `shop.py`, to its page and to its test, in what is shown and what is new."""
    pages = re.findall(r"```html\n(.*?)```", TEXT, re.DOTALL)
    others = [*pages, marked("test_shop.py", "py")]
    shown = [len([line for line in block.splitlines() if line.strip()]) for block in others]
    new = [added(source(step - 1), source(step)) for step in range(1, len(STEPS) + 1)]

    assert len(re.findall(r"^## \d\. ", TEXT, re.MULTILINE)) == len(STEPS) + 1 == 8
    assert len(blocks()) == len(STEPS)
    assert all(5 <= size <= 10 for size in (*shown, *new)), (shown, new)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [("", "abc", 3), ("abc", "abc", 0), ("abc", "aXc", 1), ("abc", "Xabc", 1), ("abc", "c", 0)],
)
def test_a_line_that_changes_counts_as_added(before: str, after: str, lines: int) -> None:
    """And one that is as it was does not, wherever it is now."""
    assert added([*before], [*after]) == lines


def test_its_own_tests_pass(tmp_path: Path) -> None:
    """In a folder with the two files, as the reader has them, and those that come next."""
    (tmp_path / "shop.py").write_text(ast.unparse(grown(len(blocks()))))
    (tmp_path / "test_shop.py").write_text(marked("test_shop.py", "py"))
    (tmp_path / "test_refusals.py").write_text(WHAT_A_READER_TESTS_NEXT)

    done = run_tests(tmp_path)

    assert "3 passed" in done, done
