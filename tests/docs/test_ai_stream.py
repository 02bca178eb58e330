"""Generated text is resumed as its how-to shows, by the clients that it promises to serve."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import expect

from docs.examples import generated_text
from itemwire.testing import ChannelClient, LiveServer
from itemwire.testing.servers import live_application
from tests.docs.pages import DOCS, page
from tests.scenarios.browsers import running_browser

NAME: Final = "generated_text"
ANN: Final = {"cookie": "session=ann"}
WORDS: Final = 300


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run the application that answers."""
    with live_application(generated_text.app) as running:
        yield running


@pytest.mark.parametrize("ending", ["py", "html"])
def test_the_page_shows_the_example(ending: str) -> None:
    """From its imports on."""
    pattern = rf"<!-- docs/examples/{NAME}\.{ending} -->\n\n```{ending}\n(.*?)```"
    shown = re.search(pattern, page("how-to/ai-stream.md"), re.DOTALL)

    assert shown is not None
    assert (DOCS / "examples" / f"{NAME}.{ending}").read_text().endswith(shown[1])


def ask(server: LiveServer, question: str) -> str:
    """Begin an answer, and return its item."""
    headers = ANN | {"origin": server.url}
    answer = httpx.post(f"{server.url}/answers", params={"question": question}, headers=headers)
    return str(answer.json())


def text_of(question: str) -> list[str]:
    """Return the words that an answer has."""
    return [f"{question}-{number} " for number in range(WORDS)]


def socket(server: LiveServer, item: str, query: str) -> Any:  # noqa: ANN401 - a context manager
    """Open a socket of the user who has asked."""
    return server.client(f"/live/items/{item}/ws?{query}", headers=ANN)


def read_to_its_end(client: ChannelClient) -> tuple[list[str], dict[str, Any]]:
    """Return the words until the end mark, and its message."""
    words: list[str] = []
    while not (message := client.message(timeout=60)).get("end"):
        words.append(message["data"])
    return words, message


def test_every_client_gets_every_word_once(server: LiveServer) -> None:
    """One that stays, one that breaks off in the middle and comes back, and one that comes late."""
    item = ask(server, "why")
    with socket(server, item, "replay=5000") as stays:
        with socket(server, item, "replay=5000") as leaves:
            resume = leaves.welcome()["resume"]
            begun = [leaves.message(timeout=60) for _ in range(WORDS // 2)]
        since = f"since={resume}:{begun[-1]['offset']}&replay=5000"
        with socket(server, item, since) as back:
            recovered = back.welcome()["recovered"]
            rest, _ = read_to_its_end(back)
        whole, last = read_to_its_end(stays)
    with socket(server, item, "replay=5000") as late:
        afterwards, its_last = read_to_its_end(late)

    assert recovered
    assert [one["data"] for one in begun] + rest == whole == afterwards == text_of("why")
    assert last["meta"] == its_last["meta"] == {"outcome": "complete"}
    assert last["offset"] == WORDS + 1


def test_nobody_else_reads_it(server: LiveServer) -> None:
    """Whose answer it is decides the same rule everywhere."""
    item = ask(server, "secret")
    bob = {"cookie": "session=bob"}
    history = httpx.get(f"{server.url}/live/items/{item}/messages", headers=bob)

    assert server.refusal(f"/live/items/{item}/ws", headers=bob).reason == "forbidden"
    assert history.status_code == 404


def test_a_model_that_fails_ends_the_answer(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is told, and does not wait for what never comes."""

    async def fails(_question: str) -> Any:  # noqa: ANN401 - an async generator
        yield "so "
        raise ConnectionError

    monkeypatch.setattr(generated_text, "words_about", fails)
    with socket(server, ask(server, "why"), "replay=5000") as client:
        words, last = read_to_its_end(client)

    assert (words, last["meta"]) == (["so "], {"outcome": "failed"})


def test_a_browser_resumes_by_itself(server: LiveServer) -> None:
    """Its stream is cut in the middle, and another page opens the answer when it is done."""
    with running_browser() as browser:
        context = browser.new_context()
        one, late = context.new_page(), context.new_page()
        one.goto(server.url)
        one.fill("[name=question]", "how")
        one.click("text=Ask")
        expect(one.locator("#text")).to_contain_text("how-20 ", timeout=60_000)
        with ThreadPoolExecutor(1) as elsewhere:  # Playwright has an event loop in this thread
            ended = elsewhere.submit(asyncio.run, generated_text.live.disconnect("ann")).result()
        expect(one.locator("#outcome")).to_have_text("complete", timeout=60_000)
        late.goto(one.url)
        expect(late.locator("#outcome")).to_have_text("complete", timeout=60_000)
        texts = [page.locator("#text").text_content() for page in (one, late)]

    assert ended
    assert texts == ["".join(text_of("how"))] * 2
