"""Two nodes whose clocks differ by a minute: only tokens end sooner on one than elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

import httpx
import pytest

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, JSON, PATIENCE, JsonClient, closed, item_path
from tests.scenarios.conftest import Serve
from tests.scenarios.processes import Started, started
from tests.stress.engines import ENGINE_SERVERS
from tests.timing import AdvancedClock

SHIFTS: Final = (-30.0, 30.0)  # of a node's clock from that of the engine's server
SOON: Final = 2.0  # so much less than that, that a busy machine makes no difference

Pair = tuple[LiveServer, LiveServer]

# Before anything of the project is imported, which might keep the function.
SHIFTED: Final = """
import time
time.time = lambda now=time.time: now() + {shift}
time.time_ns = lambda now=time.time_ns: now() + int({shift} * 1e9)
from itemwire.cli import main
main()
"""


@pytest.fixture(scope="module", params=ENGINE_SERVERS)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two nodes on one engine, one with a clock behind its server's, one ahead of it."""
    folder = tmp_path_factory.mktemp("clocks")

    def node(shift: float) -> AbstractContextManager[Started]:
        command = [sys.executable, "-c", SHIFTED.format(shift=shift), "serve", "--port", "0"]
        return started(
            command,
            folder,
            engine_url=server.process.url,
            admin="true",
            history_seconds=str(SOON),
            ticket_seconds="15",  # less than either clock is wrong by
            graceful_timeout="3",
        )

    with ENGINE_SERVERS[request.param](folder) as server, ExitStack() as stack:
        with ThreadPoolExecutor(2) as both:
            one, two = both.map(lambda shift: stack.enter_context(node(shift)), SHIFTS)
        yield one.server, two.server


@pytest.fixture(params=[0, 1], ids=["behind", "ahead"])
def pair(request: pytest.FixtureRequest, nodes: Pair) -> Pair:
    """Give the one that does something, and the one that is to agree with it."""
    return nodes[request.param], nodes[1 - request.param]


def token(subject: str = "alice", scope: str = EVERYTHING, ends_in: float = 300) -> str:
    """Mint a token that was issued a while ago by all clocks."""
    now = time.time() - 60
    key = signing_key_from_secret(SECRET)
    return mint(key, subject=subject, scope=scope, lifetime=round(60 + ends_in), now=now)


@contextmanager
def client_of(
    server: LiveServer, item_id: str, subject: str = "alice", **query: object
) -> Iterator[JsonClient]:
    """Join an item with such a token."""
    path = item_path(item_id, {"token": token(subject), **query})
    with server.connect(path, subprotocols=(JSON,)) as connection:
        yield JsonClient(connection)


def request(
    server: LiveServer, method: str, path: str, body: object = None, subject: str = "alice"
) -> dict[str, Any]:
    """Make an HTTP request with such a token; root is an administrator."""
    credential = token(subject, "admin" if subject == "root" else EVERYTHING)
    headers = {"Authorization": f"Bearer {credential}"}
    answer = httpx.request(method, server.url + path, headers=headers, json=body, timeout=PATIENCE)
    assert answer.is_success, answer.text
    return dict(answer.json())


def test_channels_positions_and_keys_are_the_same(pair: Pair, item_id: str) -> None:
    """One order, a key that is known to both, and a resume on the other node (116)."""
    one, other = pair
    with client_of(one, item_id) as here, client_of(other, item_id) as there:
        replies = [
            it.ask("publish", data=n, key=f"key{n}") for n, it in enumerate((here, there) * 3)
        ]
        again = here.ask("publish", data="again", key="key1")
        heard = [[message["data"] for message in it.messages(6)] for it in (here, there)]
    since = "{epoch}:{offset}".format(**replies[2])
    with client_of(other, item_id, since=since) as back:
        missed = [message["data"] for message in back.messages(3)]

        assert back.welcome["recovered"]
    assert heard == [list(range(6))] * 2
    assert again["offset"] == replies[1]["offset"]
    assert missed == [3, 4, 5]


def test_messages_are_remembered_as_long(nodes: Pair, item_id: str) -> None:
    """By the clock of the engine's server: not gone at once, and not there for longer (116)."""
    paths = [f"/items/{item_id}:{number}/messages" for number in range(2)]

    def found() -> list[int]:
        return [len(request(node, "GET", path)["messages"]) for node in nodes for path in paths]

    begun = time.monotonic()
    for node, path in zip(nodes, paths, strict=True):
        request(node, "POST", path, "for a while")
    at_once, took = found(), time.monotonic() - begun
    while any(found()):
        assert time.monotonic() - begun < 10 * SOON, "they are remembered for too long"

    assert at_once == [1] * 4 or took > SOON
    assert time.monotonic() - begun > SOON * 0.99


def test_members_are_the_same(pair: Pair, item_id: str) -> None:
    """Clients on the other node are told, as everywhere (116)."""
    one, other = pair
    with client_of(one, item_id) as alice:
        with client_of(other, item_id, "bob") as bob:
            joined = alice.read()
            if len(bob.welcome["members"]) == 1:
                assert bob.read() == {"type": "joined", "item": item_id, "member": alice.member}
            counts = [it.ask("members")["count"] for it in (alice, bob)]
        left = alice.read()

    assert (joined["type"], left["type"]) == ("joined", "left")
    assert joined["member"] == left["member"] == bob.member
    assert counts == [2, 2]


def test_a_ticket_is_good_once_on_either(pair: Pair, item_id: str) -> None:
    """However short its life is beside the difference of the clocks (116)."""
    one, other = pair
    path = item_path(item_id, {"ticket": request(one, "POST", "/auth/tickets")["ticket"]})
    with other.connect(path, subprotocols=(JSON,)) as connection:
        assert JsonClient(connection).welcome["subject"] == "alice"

    assert one.refusal(path).reason == "ticket_invalid"


def test_what_is_taken_back_ends_on_both(pair: Pair, item_id: str) -> None:
    """At once, and for later handshakes too (116)."""
    one, other = pair
    subject = f"bob-{item_id}"
    with client_of(other, item_id, subject) as bob:
        request(one, "POST", "/admin/revocations", {"subject": subject}, "root")

        assert closed(bob.connection) == (1008, "token_revoked")
    path = item_path(item_id, {"token": token(subject)})
    assert [server.refusal(path).reason for server in pair] == ["token_revoked"] * 2


def test_only_a_token_ends_by_the_clock_of_its_node(nodes: Pair, item_id: str) -> None:
    """That is the difference of the clocks, and it is seen (116)."""
    behind, ahead = nodes
    path = item_path(item_id, {"token": token(ends_in=10)})
    with behind.connect(path, subprotocols=(JSON,)) as connection:
        assert JsonClient(connection).welcome["type"] == "welcome"

    assert ahead.refusal(path).reason == "credentials_invalid"


def test_a_clock_of_1970_judges_nobody(serve: Serve) -> None:
    """Every good token was of the future there, and told as a bad one (116)."""
    clock, settings = AdvancedClock(), Settings(secret=SECRET, _env_file=None)
    path = item_path("a", {"token": token()})

    def seen(server: LiveServer) -> tuple[int, str]:
        ready = httpx.get(f"{server.url}/health/ready", timeout=PATIENCE)
        return ready.status_code, ready.json()["status"]

    with serve(settings, create_app(settings, clock=clock)) as server:
        clock.advance(-time.time())
        wrong = seen(server), server.refusal(path)
        clock.advance(time.time())
        right = seen(server)
        with server.connect(path, subprotocols=(JSON,)) as connection:
            assert JsonClient(connection).welcome["subject"] == "alice"

    assert wrong[0] == (503, "not_ready")
    assert (wrong[1].code, wrong[1].reason) == (1013, "overloaded")
    assert right == (200, "ready")
