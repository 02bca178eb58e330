"""The pages of the documentation, and the parts of them that tests compare with the code."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE: Final = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def page(name: str) -> str:
    """Return the text of a page of docs/."""
    return (DOCS / name).read_text()


def table(text: str, mark: str) -> str:
    """Return the table that follows `<!-- mark -->`, without the blank lines around it."""
    shown = re.search(rf"<!-- {mark} -->\n\n(.*?)\n\n", text, re.DOTALL)
    assert shown is not None, f"no table is marked {mark}"
    return shown[1]


def table_under(text: str, heading: str) -> list[list[str]]:
    """Return the cells of each row of the first table under a heading, without its head."""
    part = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert part is not None, f"no heading {heading}"
    rows = [line.strip("|").split("|") for line in part[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def run_tests(folder: Path) -> str:
    """Run the tests in a folder as a reader of the documentation does; return what is printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


def links(text: str) -> list[tuple[str, str]]:
    """Return path and anchor of each link into the repository; either may be empty."""
    return LINK.findall(FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get when it is rendered, repeated ones numbered."""
    return set(_numbered(re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)))


def _numbered(headings: list[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for heading in headings:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen[anchor] = seen.get(anchor, -1) + 1
        yield f"{anchor}-{count}" if count else anchor
