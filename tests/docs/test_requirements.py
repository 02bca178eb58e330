"""docs/requirements.md against the tests: each number once, each named test there."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "requirements.md").read_text()
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
REASON = re.compile(r"\b(not yet|only|does not apply)\b")
CITED = re.compile(r"\brequirements? (\d+(?:(?:, | and | to |-)\d+)*)", re.IGNORECASE)
ROWS = ROW.findall(TEXT)


@functools.cache
def names_in(path: str) -> set[str]:
    """List the tests of a file, those of a contract's class included."""
    file = ROOT / path
    if not file.exists():
        return set()
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def citations() -> Iterator[tuple[str, str]]:
    """Yield each number that a test cites, and the file."""
    for file in (ROOT / "tests").rglob("*.py"):
        for cited in CITED.findall(file.read_text()):
            yield from ((number, file.name) for number in re.findall(r"\d+", cited))


def test_every_number_is_there_once_and_in_order() -> None:
    """A number keeps its meaning, because tests cite it."""
    numbers = [int(number) for number, _, _ in ROWS]

    assert numbers == sorted(set(numbers))
    assert numbers[:118] == list(range(1, 119))
    assert numbers[-1] <= 161


def test_every_named_test_is_there() -> None:
    """A renamed test must take its requirement along."""
    named = NAMED.findall(TEXT)

    assert len(named) > 200
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []


def test_every_requirement_names_a_test_or_says_why_not() -> None:
    """A requirement without its test is a wish, and has to say so."""
    bare = [number for number, _, shown in ROWS if not NAMED.search(shown)]

    assert [row for row in ROWS if row[0] in bare and not REASON.search(row[2])] == []
    assert len(bare) < 8


def test_every_number_that_a_test_cites_is_in_the_list() -> None:
    """A reader of the test finds there what it is for."""
    numbers = {number for number, _, _ in ROWS}
    cited = list(citations())

    assert len(cited) > 150
    assert [where for where in cited if where[0] not in numbers] == []
