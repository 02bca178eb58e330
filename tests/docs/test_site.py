"""The documentation as a site: nothing in it leads nowhere, and it asks no other host."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, expect
from typing_extensions import override

from tests.docs.pages import DOCS, PAGES, ROOT
from tests.packaging.building import environment_outside
from tests.scenarios.browsers import running_browser

pytestmark = pytest.mark.server  # a process builds it
FETCHED = {
    "audio": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
FOREIGN = re.compile(r"^(?:https?:)?//")
IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)""")


def build(root: Path, site: Path) -> str:
    """Build the site of a checkout; return what is wrong with it, or ''."""
    done = subprocess.run(
        [sys.executable, root / ".ci" / "site.py", site],
        env=environment_outside() | {"https_proxy": "http://127.0.0.1:9"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout if done.returncode else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site."""
    folder = tmp_path_factory.mktemp("site") / "built"
    wrong = build(ROOT, folder)
    assert wrong == ""
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy what the site is made of."""
    root = tmp_path / "checkout"
    shutil.copytree(DOCS, root / "docs")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("mkdocs.yml"), *ROOT.glob(".env.example")]:
        shutil.copy(path, root)
    shutil.copytree(ROOT / ".ci", root / ".ci")
    shutil.copy(ROOT / "LICENSE", root)
    for folder in ("deploy", ".github"):
        if (ROOT / folder).exists():
            shutil.copytree(ROOT / folder, root / folder)
    return root


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("[x](nowhere.md)", id="page"),
        pytest.param("[x](protocol.md#nowhere)", id="anchor of another page"),
        pytest.param("[x](#nowhere)", id="anchor of this page"),
        pytest.param("![x](nowhere.png)", id="picture"),
        pytest.param("[x](examples/nowhere.py)", id="example"),
        pytest.param("[x](../nowhere.txt)", id="file beside the documentation"),
        pytest.param("[x](../README.md#nowhere)", id="anchor of the first page"),
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(checkout: Path, link: str) -> None:
    """A reader never meets one."""
    with (checkout / "docs" / "tutorial.md").open("a") as page:
        page.write(f"\n{link}\n")

    assert "nowhere" in build(checkout, checkout / "site")


def test_links_that_lead_somewhere_are_built(checkout: Path) -> None:
    """From page to page, to examples, and to files beside the documentation."""
    with (checkout / "docs" / "tutorial.md").open("a") as page:
        page.write(
            "\n[a](protocol.md#closing) [b](#8-test-it) ![c](console.png) [d](examples/shop.py)"
            "\n[e](../.env.example) [f](../README.md#the-tests) [g](adr/) [h](https://x.example)\n"
            "\n```\n[i](nowhere.md)\n```\n"
        )

    assert build(checkout, checkout / "site") == ""
    html = (checkout / "site" / "tutorial" / "index.html").read_text()
    targets = set(re.findall(r'(?:href|src)="?([^">\s]+)"?', html))
    assert {
        "../protocol/#closing",
        "#8-test-it",
        "../console.png",
        "../examples/shop.py.txt",
        "../env.example.txt",
        "../#the-tests",
        "../adr/",
        "https://x.example",
    } <= targets


def in_the_navigation() -> list[str]:
    """Return the pages that the navigation names, in order."""
    tree = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)["nav"]  # noqa: S506 - ours
    return list(leaves(tree))


def leaves(tree: Any) -> Iterator[str]:  # noqa: ANN401 - YAML
    """Yield the texts in a tree of lists and maps."""
    if isinstance(tree, str):
        yield tree
        return
    for branch in tree.values() if isinstance(tree, dict) else tree:
        yield from leaves(branch)


def test_every_page_is_in_the_navigation_once(site: Path) -> None:
    """One that is not is found by nobody who does not search; the decisions have a list."""
    named = in_the_navigation()
    pages = {
        path.relative_to(DOCS).as_posix()
        for path in PAGES
        if path.is_relative_to(DOCS) and path.parent.name != "adr"
    }
    beside = {"index.md", "changelog.md", "contributing.md", "security-policy.md"}

    assert sorted(named) == sorted(pages | beside | {"adr/README.md"})
    assert (site / "index.html").exists()


class Fetched(HTMLParser):
    """What a browser fetches for a page, without being told to by a person."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text())

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(FETCHED.get(tag, ""))
        if address is not None and dict(attrs).get("rel") != "canonical":
            self.addresses.append(address)


def test_no_page_fetches_from_another_host(site: Path) -> None:
    """Who reads it is nobody's business, and it can be read without a network."""
    fetched = {address for page in site.rglob("*.html") for address in Fetched(page).addresses}
    in_styles = {
        address for style in site.rglob("*.css") for address in IN_STYLES.findall(style.read_text())
    }

    assert len(fetched) > 10
    assert {address for address in fetched if FOREIGN.match(address)} | in_styles == set()


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Serve the site as a plain file server does."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run a browser."""
    with running_browser() as browser:
        yield browser


@pytest.mark.parametrize(("wish", "scheme"), [("light", "default"), ("dark", "slate")])
def test_a_reader_finds_a_word(served: str, chromium: Browser, wish: Any, scheme: str) -> None:  # noqa: ANN401 - a literal
    """By the keyboard, in the colours that the system has, and with nothing from elsewhere."""
    page = chromium.new_context(color_scheme=wish).new_page()
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto(f"{served}/tutorial/")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", scheme)
    page.keyboard.press("/")
    page.keyboard.type("slow_consumer")
    found = page.get_by_role("option", name="Slow consumers").first
    expect(found).to_be_visible(timeout=30_000)
    found.click()
    expect(page.locator("h1")).to_contain_text("Limits", timeout=30_000)

    assert problems == []
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []
