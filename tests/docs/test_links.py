"""Every link between the pages, and every page that the source names, is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links

FOLDERS = ("api", "auth", "benchmarks", "tests")
PATH = re.compile(r"`((?:api/itemwire|auth/itemwire_auth|tests|benchmarks)/[\w./<>-]*)`")
NAMED = re.compile(r"\b(docs/[\w./-]+\.md)(?:#([\w-]+))?")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_anchor_resolves(page: Path) -> None:
    """A reader who follows a dead link stops reading."""
    dead = []
    for target, anchor in links(page.read_text()):
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            dead.append(f"{target}#{anchor}" if anchor else target)

    assert dead == []


def test_finds_links_and_anchors() -> None:
    """A pattern that finds nothing would let everything pass."""
    text = "# A `b`, c\n\n[one](x.md#y) [two](https://z)\n\n## A b c\n\n```\n# no [x](y)\n```\n"

    assert links(text) == [("x.md", "y")]
    assert anchors(text) == {"a-b-c", "a-b-c-1"}
    assert sum(len(links(page.read_text())) for page in PAGES) > 200


def mentions() -> Iterator[tuple[str, str, str]]:
    """Yield each page of docs/ that the source names: where, the page, and its anchor or ''."""
    sources = [
        ROOT / ".env.example",
        *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")),
    ]
    for source in sources:
        for named, anchor in NAMED.findall(source.read_text()):
            yield str(source.relative_to(ROOT)), named, anchor


def test_every_page_that_the_source_names_is_there() -> None:
    """A page that is split or renamed takes the comments that point to it along."""
    named = list(mentions())
    dead = [
        mention
        for mention in named
        if not (file := ROOT / mention[1]).exists()
        or (mention[2] and mention[2] not in anchors(file.read_text()))
    ]

    assert len(named) > 10
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_of_the_repository_that_it_names_is_there(page: Path) -> None:
    """A file that is moved takes the pages that explain it along."""
    named = PATH.findall(page.read_text())

    assert [path for path in named if "<" not in path and not (ROOT / path).exists()] == []
