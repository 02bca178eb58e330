"""docs/adr/ against itself: an index with every title, and the same parts in every record."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS

RECORDS = sorted((DOCS / "adr").glob("[0-9]*.md"))
PARTS = ["Context", "Decision", "Consequences", "Alternatives"]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_all_its_parts(path: Path) -> None:
    """A decision without its reasons and alternatives is taken again by the next reader."""
    text = path.read_text()
    title = re.match(r"# (\d+)\. \S", text)

    assert title is not None
    assert int(title[1]) == int(path.name[:4])
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[:4] == PARTS


def test_numbers_are_consecutive_and_the_index_has_every_title() -> None:
    """The index is how a reader finds the decision about what is in front of them."""
    index = (DOCS / "adr" / "README.md").read_text()
    titles = [path.read_text().partition("\n")[0].removeprefix("# ") for path in RECORDS]
    shown = re.findall(r"^(\d+)\. \[(.+?)\]\(([\w-]+\.md)\)", index, re.MULTILINE)

    assert [int(title.partition(".")[0]) for title in titles] == list(range(1, len(titles) + 1))
    assert [f"{number}. {title}" for number, title, _ in shown] == titles
    assert [file for _, _, file in shown] == [path.name for path in RECORDS]
