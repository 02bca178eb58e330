"""Problem Details as they are written."""

import json
from typing import Any

import pytest

from itemwire.responses.problems import problem


@pytest.mark.parametrize(
    ("status", "detail", "code", "title"),
    [
        pytest.param(403, "scope_missing", "scope_missing", "Forbidden", id="reason"),
        pytest.param(404, "Not Found", "not_found", "Not Found", id="status"),
        pytest.param(409, {"own": 1}, "conflict", "Conflict", id="own-detail"),
        pytest.param(499, "gone", "error", "Error", id="own-status"),
    ],
)
def test_has_what_the_standard_names_and_a_code(
    status: int, detail: object, code: str, title: str
) -> None:
    """RFC 9457 section 3.1; programs read `code` alone."""
    answer = problem(status, detail, headers={"X-Own": "1"})
    body: dict[str, Any] = json.loads(bytes(answer.body))

    assert body == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.headers["cache-control"], answer.headers["x-own"]) == ("no-store", "1")
