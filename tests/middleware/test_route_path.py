"""The path within the application, wherever it is mounted; and that no other one is compared."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from itemwire.middleware.route_path import route_path

SOURCES: Final = [
    path
    for folder in ("api", "auth")
    for path in (Path(__file__).parents[2] / folder).rglob("*.py")
]
JUDGES: Final = ("startswith", "endswith", "match", "fullmatch", "search", "removeprefix", "split")
KNOWN: Final = {
    "application.py",  # makes the path whole, ahead of all others
    "route_path.py",  # where the prefix is taken off
}


@pytest.mark.parametrize(
    ("path", "root_path", "route"),
    [
        ("/health/live", "", "/health/live"),
        ("/live/health/live", "/live", "/health/live"),
        ("/api/live/health/live", "/api/live", "/health/live"),
        ("/health/live", "/api", "/health/live"),  # its proxy has taken the prefix off
        ("/lively", "/live", "/lively"),
        ("/live", "/live", ""),
        ("/live/live", "/live", "/live"),
    ],
)
def test_takes_the_prefix_off(path: str, root_path: str, route: str) -> None:
    """As Starlette's router does it."""
    assert route_path({"path": path, "root_path": root_path}) == route


def test_a_server_may_leave_the_prefix_out() -> None:
    """ASGI makes it optional."""
    assert route_path({"path": "/ws"}) == "/ws"


def test_no_code_judges_a_request_by_its_whole_path() -> None:
    """Below a prefix such a comparison is never true: `/live/health/live` was refused."""
    judged = [
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        if path.name not in KNOWN
        for node in _judging(ast.parse(path.read_text("utf-8")))
    ]

    assert judged == []


def test_the_sweep_finds_what_it_is_for() -> None:
    """Its accepted twin: each form in which a path was judged, or might be."""
    forms = [
        'scope["path"].startswith(HEALTH)',
        'NEEDS.fullmatch(scope["path"])',
        'request.scope["path"] == "/ws"',
        'scope.get("path") in PATHS',
        'request.url.path.startswith("/admin")',
    ]

    assert [len(list(_judging(ast.parse(form)))) for form in forms] == [1] * len(forms)


def _judging(tree: ast.AST) -> Iterator[ast.expr]:
    """Find what compares or matches the path of a request."""
    for node in ast.walk(tree):
        is_judging = isinstance(node, ast.Compare) or _is_judging_call(node)
        if isinstance(node, ast.expr) and is_judging and any(map(_is_path, ast.walk(node))):
            yield node


def _is_judging_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in JUDGES
    )


def _is_path(node: ast.AST) -> bool:
    """Return whether this is `scope["path"]`, `scope.get("path")` or `url.path`."""
    if isinstance(node, ast.Subscript):
        return "scope" in ast.unparse(node.value) and ast.unparse(node.slice) == "'path'"
    text = ast.unparse(node) if isinstance(node, ast.Call | ast.Attribute) else ""
    return text.endswith(("scope.get('path')", "url.path"))
