"""docs/security.md against the code: each rule's test is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def is_there(path: str, name: str) -> bool:
    """Return whether a file has a test of this name."""
    file = ROOT / path
    if not file.exists():
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        for node in ast.parse(file.read_text()).body
    )


def test_each_rule_names_a_test_that_is_there() -> None:
    """A rule without its test is a wish; a renamed test must take its rule along."""
    named = NAMED.findall(TEXT)

    assert len(named) > 40
    assert [f"{path}::{name}" for path, name in named if not is_there(path, name)] == []


def test_each_row_says_where_it_comes_from_and_what_holds_it() -> None:
    """An RFC, an OWASP requirement or a weakness; and a test."""
    rules = TEXT.partition("## The rules")[2].partition("### At start-up")[0]
    rows = [line for line in rules.splitlines() if re.match(r"\| (?!rule|---)", line)]

    assert len(rows) > 35
    assert [row for row in rows if not NAMED.search(row)] == []
    assert [row for row in rows if not re.search(r"RFC \d|CWE-\d|CVE-\d|ASVS \d|OWASP", row)] == []
