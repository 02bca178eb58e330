"""Tokens that are revoked while their sockets are open, over the admin API of a real server."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from itemwire.assembly import Assembly
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth import Action, CurrentPrincipal, Grant, authorize_item
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.revocation import Revocation
from itemwire_auth.testing import ABSENT, TokenFactory
from itemwire_auth.tokens.minting import mint
from tests.conftest import SECRET
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    Envelope,
    JsonClient,
    close_of,
    closed,
    item_path,
    json_client,
    token,
)
from tests.scenarios.conftest import Serve, Timed, serve_timed
from tests.scenarios.conftest import refused as refused_as

MANY = 300
MARGIN = 60  # seconds


@pytest.fixture(scope="module")
def admin_server(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that has the admin API."""
    with serve(Settings(secret=SECRET, admin=True, _env_file=None)) as running:
        yield running


def ask(server: LiveServer, method: str, path: str, body: object = None) -> httpx.Response:
    """Make a request as an administrator."""
    headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
    return httpx.request(method, server.url + path, headers=headers, json=body, timeout=PATIENCE)


def revoke(server: LiveServer, **fields: object) -> int:
    """Take tokens back, and tell how many sockets ended."""
    answer = ask(server, "POST", "/admin/revocations", fields)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["closed"])


def named(subject: str, token_id: str, issued_at: float | None = None) -> str:
    """Mint a token with an id."""
    key = signing_key_from_secret(SECRET)
    return mint(
        key, subject=subject, scope=EVERYTHING, lifetime=300, token_id=token_id, now=issued_at
    )


def frames_of(client: JsonClient, kind: str) -> Iterator[Envelope]:
    """Read on, and give the envelopes of one type."""
    while True:
        if (envelope := client.read())["type"] == kind:
            yield envelope


def to_the_end(connection: ClientConnection) -> tuple[list[str | bytes], tuple[int, str]]:
    """Read what is left until the server ends the connection, and how it does."""
    frames: list[str | bytes] = []
    try:
        while True:
            frames.append(connection.recv(timeout=PATIENCE))
    except ConnectionClosed as ended:
        return frames, close_of(ended)


def refused(server: LiveServer, path: str) -> tuple[int | None, str]:
    """Come as a client that must be refused; give the close code and reason."""
    refusal = server.refusal(path)
    return refusal.code, refusal.reason


def test_a_revoked_token_hears_nothing_more_and_cannot_come_back(
    admin_server: LiveServer, item_id: str
) -> None:
    """Nor resume; its subject's other token stays and comes again (requirements 70, 72)."""
    path, other = (
        item_path(item_id, {"token": named(f"bob-{item_id}", f"{name}-{item_id}")})
        for name in ("lost", "kept")
    )
    with ExitStack() as stack:
        alice = stack.enter_context(json_client(admin_server, item_id))
        lost, kept = (
            stack.enter_context(admin_server.connect(at, subprotocols=(JSON,)))
            for at in (path, other)
        )
        JsonClient(lost)
        alice.ask("publish", data="before")

        assert revoke(admin_server, token_id=f"lost-{item_id}") == 1

        alice.ask("publish", data="after")
        bob = JsonClient(kept)
        frames, close = to_the_end(lost)
        assert [json.loads(frame)["type"] for frame in frames] == ["joined", "message", "closing"]
        assert close == (1008, "token_revoked")
        assert [one["data"] for one in bob.messages(2)] == ["before", "after"]
        assert refused(admin_server, path) == (1008, "token_revoked")
        assert refused(admin_server, f"{path}&since=e:1") == (1008, "token_revoked")
        JsonClient(stack.enter_context(admin_server.connect(other, subprotocols=(JSON,))))


def test_a_revoked_subject_cannot_come_back_with_any_token(
    admin_server: LiveServer, item_id: str
) -> None:
    """Nor over HTTP, nor to the echo; others can."""
    subject = f"bob-{item_id}"
    with (
        admin_server.connect(item_path(item_id, {"token": named(subject, "a")})) as one,
        admin_server.connect(f"/ws/echo?token={named(subject, 'b')}") as another,
    ):
        assert revoke(admin_server, subject=subject, until=time.time() + 60) == 2
        ends = [closed(one), closed(another)]

    assert ends == [(1008, "token_revoked")] * 2
    new = token(subject)
    assert refused(admin_server, item_path(item_id, {"token": new})) == (1008, "token_revoked")
    assert refused(admin_server, f"/ws/echo?token={new}") == (1008, "token_revoked")
    with json_client(admin_server, item_id, "alice"):
        pass


def test_a_revocation_during_the_handshake_gives_no_open_socket(
    serve: Serve, settings: Settings, item_id: str
) -> None:
    """A token is checked, taken back while its rights are looked up, accepted (requirement 71)."""
    app = create_app(settings)
    node = Assembly.of(app).node
    answers: list[object] = []

    async def slow_grant(item_id: str, principal: CurrentPrincipal) -> Grant:
        if principal.subject == "bob":
            node.revoke(Revocation(time.time() + 60, subject="bob"), answers.append)
        return Grant(principal, item_id, frozenset(Action))

    app.dependency_overrides[authorize_item] = slow_grant
    with serve(settings, app) as server, json_client(server, item_id, scope=EVERYTHING) as alice:
        refusal = refused(server, item_path(item_id, {"token": token("bob")}))
        alice.ask("publish", data="nobody came")

        assert refusal == (1008, "token_revoked")
        assert [alice.read()["type"]] == ["message"]
    assert answers == [0]


def test_a_denied_handshake_says_it_with_a_status(serve: Serve, item_id: str) -> None:
    """A client that is no browser learns the same from `http` (ITEMWIRE_REFUSAL)."""
    path = item_path(item_id, {"token": named("bob", "t1")})
    with serve(Settings(secret=SECRET, admin=True, refusal="http", _env_file=None)) as server:
        revoke(server, token_id="t1")

        assert server.refusal(path) == refused_as("http", "token_revoked")


def test_logging_out_everywhere_keeps_newer_tokens(admin_server: LiveServer, item_id: str) -> None:
    """`issued_before` ends the old ones, for those of the new login are another matter."""
    subject, now = f"bob-{item_id}", int(time.time())
    old, new = (
        item_path(item_id, {"token": named(subject, str(at), at)}) for at in (now - 10, now)
    )
    with (
        admin_server.connect(old, subprotocols=(JSON,)) as ending,
        admin_server.connect(new, subprotocols=(JSON,)) as staying,
    ):
        assert revoke(admin_server, subject=subject, issued_before=now) == 1

        assert closed(ending) == (1008, "token_revoked")
        assert JsonClient(staying).ask("publish", data="still here")["offset"] == 1
    assert refused(admin_server, old) == (1008, "token_revoked")
    with admin_server.connect(new, subprotocols=(JSON,)) as again:
        JsonClient(again)


def test_a_margin_is_for_those_who_refresh_in_time(serve: Serve, item_id: str) -> None:
    """Told when, one comes with a new token and stays; its likes end then (requirement 70)."""
    with serve_timed(serve, Settings(secret=SECRET, admin=True, _env_file=None)) as timed:
        _refresh_in_time(timed, item_id)


def _refresh_in_time(timed: Timed, item_id: str) -> None:
    admin_server = timed.server
    subject, now = f"bob-{item_id}", int(time.time())
    path = item_path(item_id, {"token": named(subject, "old", now - 10)})
    with (
        admin_server.connect(path, subprotocols=(JSON,)) as refreshing,
        admin_server.connect(path, subprotocols=(JSON,)) as idle,
        admin_server.connect(path) as plain,
    ):
        clients = [JsonClient(refreshing), JsonClient(idle)]
        fields = {"subject": subject, "issued_before": now, "reauth_margin_seconds": MARGIN}
        answer = ask(admin_server, "POST", "/admin/revocations", fields)
        told = [next(iter(frames_of(client, "expiring"))) for client in clients]
        at_the_door = refused(admin_server, path)
        with_the_old = clients[0].ask("refresh", token=named(subject, "as-old", now - 5))
        with_a_new = clients[0].ask("refresh", token=named(subject, "new", now))
        timed.clock.advance(MARGIN + PATIENCE)
        ends = [closed(idle), closed(plain)]
        still_here = clients[0].ask("publish", data="still here")

    assert answer.json() == {"closed": 0, "expiring": 3}
    assert all(now + MARGIN <= one["expires_at"] <= now + MARGIN + PATIENCE for one in told)
    assert at_the_door == (1008, "token_revoked")
    assert (with_the_old["type"], with_the_old["code"]) == ("error", "token_revoked")
    assert with_a_new["type"] == "reply"
    assert ends == [(1008, "token_revoked")] * 2
    assert still_here["type"] == "reply"


def test_one_login_is_taken_back_with_all_its_tokens(
    admin_server: LiveServer, item_id: str
) -> None:
    """By the claim `sid`; the same person's other login goes on (requirement 70)."""
    tokens = TokenFactory(signing_key_from_secret(SECRET))
    old, renewed, other = (
        item_path(
            item_id,
            {"token": tokens.good(sid=f"{name}-{item_id}", jti=jti, iss=ABSENT, aud=ABSENT)},
        )
        for name, jti in (("lost", "1"), ("lost", "2"), ("kept", "3"))
    )
    with (
        admin_server.connect(old, subprotocols=(JSON,)) as first,
        admin_server.connect(renewed, subprotocols=(JSON,)) as second,
        admin_server.connect(other, subprotocols=(JSON,)) as staying,
    ):
        assert revoke(admin_server, session=f"lost-{item_id}") == 2

        assert [closed(first), closed(second)] == [(1008, "token_revoked")] * 2
        assert JsonClient(staying).ask("publish", data="still here")["type"] == "reply"
    assert refused(admin_server, renewed) == (1008, "token_revoked")
    with admin_server.connect(other, subprotocols=(JSON,)) as again:
        JsonClient(again)


def test_many_sockets_of_one_subject_end_in_one_call(
    admin_server: LiveServer, item_id: str
) -> None:
    """Whatever is published once it has returned, none of them hears it."""
    path = item_path(item_id, {"token": named(f"bob-{item_id}", "t", time.time())})
    with ExitStack() as stack:
        alice = stack.enter_context(json_client(admin_server, item_id))
        sockets = [stack.enter_context(admin_server.connect(path)) for _ in range(MANY)]

        assert revoke(admin_server, subject=f"bob-{item_id}") == MANY

        alice.ask("publish", data="after")
        ends = [to_the_end(socket) for socket in sockets]
    assert ends == [([], (1008, "token_revoked"))] * MANY


def test_an_operator_sees_connections_and_ends_them(admin_server: LiveServer, item_id: str) -> None:
    """By id and by subject; their token may come back."""
    subject = f"a/b {item_id}"
    with (
        json_client(admin_server, item_id, subject) as one,
        json_client(admin_server, item_id, subject) as two,
    ):
        listed = ask(admin_server, "GET", "/admin/connections?limit=1000").json()["connections"]
        mine = {row["id"]: row for row in listed if row["subject"] == subject}
        id_ = one.welcome["connection"]
        by_id = ask(admin_server, "DELETE", f"/admin/connections/{id_}")
        by_subject = ask(admin_server, "DELETE", f"/admin/subjects/a%2Fb {item_id}/connections")

        assert (by_id.json(), by_subject.json()) == ({"closed": 1}, {"closed": 1})
        assert [closed(it.connection) for it in (one, two)] == [(1008, "token_revoked")] * 2
    assert set(mine) == {id_, two.welcome["connection"]}
    assert mine[id_]["items"] == [item_id]
    assert mine[id_]["expires_at"] == one.welcome["expires_at"]
    with json_client(admin_server, item_id, subject):
        pass


@pytest.mark.parametrize(
    ("scope", "status"), [("admin", 200), (EVERYTHING, 403), ("items:* notadmin", 403), (None, 401)]
)
def test_only_who_may_administer_does(
    scope: str | None, status: int, admin_server: LiveServer
) -> None:
    """A user's token is not enough (requirement 67)."""
    headers = {} if scope is None else {"Authorization": f"Bearer {token('eve', scope)}"}
    answer = httpx.get(f"{admin_server.url}/admin/connections", headers=headers)

    assert answer.status_code == status


def test_without_the_setting_there_is_nothing(server: LiveServer) -> None:
    """Not even for an administrator."""
    assert ask(server, "POST", "/admin/revocations", {"token_id": "t"}).status_code == 404
