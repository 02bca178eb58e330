"""The admin API: how connections are listed and ended."""

from __future__ import annotations

import logging
import time

import pytest
from fastapi import FastAPI

from itemwire.channels.node import Node
from tests.fakes import principal
from tests.routes.administrator import call, connect

FIELDS = (
    *("id", "node", "subject", "issuer", "items", "item_count", "since", "age", "expires_at"),
    *("codec", "outbox_bytes", "lag", "address"),
)


def test_lists_connections_page_by_page(app: FastAPI, node: Node) -> None:
    """Whose they are, and no token or claim of them."""
    for number in range(5):
        connect(node, principal(f"s{number}"))
    ids, after = [], ""
    while True:
        page = call(app, "GET", f"/admin/connections?limit=2&after={after}").json()
        ids += [one["id"] for one in page["connections"]]
        if page["next"] is None:
            break
        after = page["next"]

    assert ids == sorted(ids)
    assert len(set(ids)) == 5
    first = page["connections"][0]
    assert sorted(first) == sorted(FIELDS)
    assert first["items"] == []
    assert first["since"] == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_refuses_a_page_of_no_size(limit: str, app: FastAPI) -> None:
    """A listing must not be what stops the server."""
    assert call(app, "GET", f"/admin/connections?limit={limit}").status_code == 422


def test_ends_one_connection(app: FastAPI, node: Node) -> None:
    """One that is not here may be on another node: 0 is no error."""
    transport, other = connect(node, principal()), connect(node, principal())
    id_ = node.connections(1)[0].id
    answers = [call(app, "DELETE", f"/admin/connections/{id_}").json() for _ in range(2)]

    assert answers == [{"closed": 1}, {"closed": 0}]
    assert sorted([transport.reasons, other.reasons]) == [[], ["token_revoked"]]


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        pytest.param("google/12%203", 1, id="slash-and-space"),
        pytest.param("alice%0A", 0, id="line-break"),
        pytest.param("google/12%203", 1, id="again"),
        pytest.param("google", 0, id="a-part"),
        pytest.param("google%2F12%203", 1, id="encoded"),
    ],
)
def test_ends_the_connections_of_a_subject_whatever_it_is_called(
    path: str, closed: int, app: FastAPI, node: Node
) -> None:
    """Subjects of identity providers have all kinds of marks in them; it bars nobody."""
    connect(node, principal("google/12 3"))
    answer = call(app, "DELETE", f"/admin/subjects/{path}/connections")

    assert answer.json() == {"closed": closed}
    assert node.revocations.count == 0


@pytest.mark.parametrize(("issuer", "closed"), [("https://a.test", 0), ("", 1)])
def test_ends_those_of_one_issuer_if_it_is_named(
    issuer: str, closed: int, app: FastAPI, node: Node
) -> None:
    """The same name from another issuer is another person."""
    connect(node, principal("alice"))
    query = f"?issuer={issuer}" if issuer else ""
    answer = call(app, "DELETE", f"/admin/subjects/alice/connections{query}")

    assert answer.json() == {"closed": closed}


def test_drains_and_says_how_many_it_ends(
    app: FastAPI, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """With who ordered it in the log, as of all that operators do."""
    transport = connect(node, principal())
    with caplog.at_level(logging.INFO):
        answer = call(app, "POST", "/admin/drain")

    assert (answer.status_code, answer.json()) == (202, {"closing": 1})
    assert transport.reasons == ["draining"]
    assert "drain" in caplog.text
    assert "root" in caplog.text


@pytest.mark.parametrize("body", [{}, {"seconds": 0}, {"seconds": 3600}, {"seconds": 0.5}])
def test_takes_the_seconds_of_a_drain(app: FastAPI, body: object) -> None:
    """Or those of the settings."""
    assert call(app, "POST", "/admin/drain", body=body).status_code == 202


@pytest.mark.parametrize(
    "body", [{"seconds": -1}, {"seconds": 3601}, {"seconds": "5"}, {"second": 5}, []]
)
def test_refuses_a_drain_that_nobody_can_mean(app: FastAPI, node: Node, body: object) -> None:
    """There is no way back from one."""
    answer = call(app, "POST", "/admin/drain", body=body)

    assert answer.status_code == 422
    assert not node.is_draining
