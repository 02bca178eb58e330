"""Itemwire on servers that are not its own, each started as its users start it."""

import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    PLAIN,
    close_of,
    closed,
    item_path,
    json_client,
    plain_client,
    token,
)
from tests.scenarios.conftest import Mode, refused
from tests.scenarios.event_source import event_source
from tests.scenarios.processes import Started, started
from tests.timing import BUSY_SECONDS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with httpx
    from starlette.testclient import TestClient


class Command(NamedTuple):
    """How a server is started, and what is seen of it when it is stopped."""

    words: str
    closes: tuple[int, str]
    status: int


# Their sockets end as they can: only our class has the reason, and the others no 1012 at all.
COMMANDS: Final = {
    "hypercorn": Command(
        "hypercorn itemwire.main:create_app() --bind 127.0.0.1:{} --graceful-timeout 1",
        (1011, ""),
        0,
    ),
    "granian": Command(
        "granian --interface asgi --factory itemwire:create_app --port {}", (1006, ""), 0
    ),
    "uvicorn": Command(
        "uvicorn --factory itemwire:create_app --ws itemwire.fastpath.protocol:WebSocketProtocol "
        "--ws-max-size 65536 --port {}",
        (1012, "draining"),
        -15,  # uvicorn stops in order and then dies of the signal, as supervisors expect
    ),
}
LIFETIME: Final = 6  # seconds of a token that is to expire: three handshakes on a busy machine
EXPIRED_WITHIN: Final = 2.0 + BUSY_SECONDS  # requirement 68


class Other(NamedTuple):
    """A server that runs, and how it refuses."""

    server: LiveServer
    mode: Mode


@pytest.fixture(scope="module", params=COMMANDS)
def command(request: pytest.FixtureRequest) -> Command:
    """Take each server in turn."""
    return COMMANDS[request.param]


@pytest.fixture(scope="module", params=["close", "http"])
def other(
    command: Command, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Other]:
    """Run each server in each refusal mode."""
    folder = tmp_path_factory.mktemp("other")
    with _run(command, folder, refusal=request.param, presence_grace="0.5") as running:
        yield Other(running.server, request.param)


def test_a_refusal_is_told_as_everywhere(other: Other) -> None:
    """With the code and reason of the registry, or its status and body."""
    bad, none = item_path("42", {"token": "x"}), item_path("42")

    assert other.server.refusal(bad) == refused(other.mode, "credentials_invalid")
    assert other.server.refusal(none, subprotocols=(JSON,)) == refused(
        other.mode, "credentials_missing"
    )


def test_an_unknown_path_is_denied(other: Other) -> None:
    """In both modes, as HTTP."""
    assert other.server.refusal("/nope").status == 403


def test_a_server_says_that_it_is_ready(other: Other) -> None:
    """Its lifespan has run: without that no engine would be there."""
    assert httpx.get(f"{other.server.url}/health/ready").json() == {"status": "ready"}


def test_all_hear_what_is_published(other: Other, item_id: str) -> None:
    """Welcome, the answer, and the message to those who listen, the publisher included."""
    with ExitStack() as stack:
        alice, bob = (
            stack.enter_context(json_client(other.server, item_id, name))
            for name in ("alice", "bob")
        )
        answer = alice.ask("publish", data={"x": [1]})
        heard = [client.read() for client in (alice, bob)]

    assert (alice.welcome["item"], bob.welcome["subject"]) == (item_id, "bob")
    assert answer == {"type": "reply", "ref": 1, "epoch": alice.welcome["epoch"], "offset": 1}
    assert heard[0] == heard[1]
    assert (heard[0]["type"], heard[0]["data"]) == ("message", {"x": [1]})


@pytest.mark.parametrize("offered", [(), (PLAIN,)], ids=["none", "plain"])
def test_a_plain_client_hears_itself(other: Other, item_id: str, offered: tuple[str, ...]) -> None:
    """Text and binary, as they went in."""
    path = item_path(item_id, {"token": token()})
    with other.server.connect(path, subprotocols=offered) as client:
        for sent in ("hello", b"\x00\xff", ""):
            client.send(sent)
            assert client.recv(timeout=PATIENCE) == sent
        chosen = client.subprotocol

    assert chosen == (offered[0] if offered else None)


@pytest.mark.parametrize("frame", ["grüße", b"\x00\xff", "", b"", "a" * 65_536])
def test_echoes(other: Other, frame: str | bytes) -> None:
    """Whatever the frame, up to the limit."""
    with other.server.connect(f"/ws/echo?token={token()}") as connection:
        connection.send(frame)

        assert connection.recv(timeout=PATIENCE) == frame


def test_a_burst_is_heard_in_order(other: Other, item_id: str) -> None:
    """Frames that come faster than they go out are neither lost nor swapped."""
    texts = [str(number) for number in range(300)]
    with plain_client(other.server, item_id) as bob:
        for text in texts:
            bob.send(text)

        assert [bob.recv(timeout=PATIENCE) for _ in texts] == texts


def test_a_frame_over_the_limit_ends_the_connection(other: Other, item_id: str) -> None:
    """The session checks the size too, where the server has no limit or a larger one."""
    with plain_client(other.server, item_id) as bob:
        bob.send("a" * 65_537)

        assert closed(bob) == (1009, "message_too_big")


def test_who_closes_and_who_breaks_has_left(other: Other, item_id: str) -> None:
    """The server tells the application of either."""
    with json_client(other.server, item_id, scope=EVERYTHING) as alice:
        with json_client(other.server, item_id, "bob") as bob:
            joined = alice.read()
        left = alice.read()
        with json_client(other.server, item_id, "carol") as carol:
            joined_too = alice.read()
            carol.connection.socket.shutdown(socket.SHUT_RDWR)
            left_too = alice.read()

    assert [joined, left] == [
        {"type": kind, "item": item_id, "member": bob.member} for kind in ("joined", "left")
    ]
    assert [joined_too, left_too] == [
        {"type": kind, "item": item_id, "member": carol.member} for kind in ("joined", "left")
    ]


def test_a_stream_of_events_is_served_and_left(other: Other, item_id: str) -> None:
    """It hears what is published, and has left when its client has gone."""
    with json_client(other.server, item_id, scope=EVERYTHING) as alice:
        with event_source(other.server, item_id) as carol:
            carol.read()
            joined = alice.read()
            alice.ask("publish", data="hello")
            (heard,) = carol.messages(1)
            message = alice.read()
        left = alice.read()

    assert (joined["type"], left["type"], heard.envelope) == ("joined", "left", message)


@pytest.mark.parametrize("other", ["close"], indirect=True)
def test_a_socket_ends_with_its_token(other: Other, item_id: str) -> None:
    """While its peer says nothing: a server must not keep the close until a frame comes in.

    The refusal mode is about sockets that were never open, and the life of a token takes its time.
    """
    brief = token(lifetime=LIFETIME)
    expired_by = time.monotonic() + LIFETIME + EXPIRED_WITHIN
    path = item_path(item_id, {"token": brief})
    with (
        other.server.connect(path, subprotocols=(PLAIN,)) as plain,
        other.server.connect(path, subprotocols=(JSON,)) as speaking,
        event_source(other.server, item_id, credential=brief) as carol,
    ):
        *_, plain_end = _until_closed(plain, expired_by)
        *_, speaking_end = _until_closed(speaking, expired_by)
        *_, last = carol.read_all()

    assert plain_end == speaking_end == (1008, "token_expired")
    assert (last.name, last.envelope["reason"]) == ("closing", "token_expired")


def test_a_server_that_stops_ends_its_sockets(command: Command, tmp_path: Path) -> None:
    """At once or after its own patience, and itself soon after."""
    with _run(command, tmp_path) as running, ExitStack() as stack:
        sockets = [
            stack.enter_context(running.server.connect(path, subprotocols=(offered,)))
            for path in (item_path("42", {"token": token()}), f"/ws/echo?token={token()}")
            for offered in (PLAIN, JSON)
        ]
        running.stop()

        assert [closed(connection) for connection in sockets] == [command.closes] * 4
        assert running.process.wait(PATIENCE) == command.status


def test_a_drain_ahead_of_the_stop_ends_its_sockets_as_everywhere(
    command: Command, tmp_path: Path
) -> None:
    """The way round what these servers do to sockets when they are stopped."""
    administrator = {"Authorization": f"Bearer {token('root', 'admin')}"}
    with (
        _run(command, tmp_path, admin="true") as running,
        json_client(running.server, "42") as alice,
        plain_client(running.server, "42") as bob,
    ):
        answer = httpx.post(f"{running.server.url}/admin/drain", headers=administrator)
        told = alice.read()
        ends = [closed(alice.connection), closed(bob)]

    assert (answer.status_code, answer.json()) == (202, {"closing": 2})
    assert (told["type"], told["reason"], told["retry"]) == ("closing", "draining", "now")
    assert ends == [(1012, "draining")] * 2


def test_uvicorn_does_not_wait_for_a_stream(tmp_path: Path) -> None:
    """Its own HTTP class says nothing of the end, and waits for ever by default."""
    with (
        _run(COMMANDS["uvicorn"], tmp_path) as running,
        event_source(running.server, "42") as carol,
    ):
        carol.read()
        running.stop()
        (closing,) = carol.read_all()
        status = running.process.wait(PATIENCE)

    assert (closing.envelope["reason"], status) == ("draining", COMMANDS["uvicorn"].status)


def test_starlettes_test_client_speaks_with_it(settings: Settings, item_id: str) -> None:
    """An application's own tests need no server; how a browser sees a refusal they cannot show."""
    app: FastAPI = create_app(settings)
    path = item_path(item_id, {"token": token()})
    with (
        TestClient(app) as client,
        client.websocket_connect(path, subprotocols=[JSON]) as alice,
        client.websocket_connect(path) as bob,
    ):
        welcome = alice.receive_json()
        bob.send_text("hello")
        joined, message = alice.receive_json(), alice.receive_json()
        with (
            pytest.raises(WebSocketDisconnect) as told,
            client.websocket_connect(item_path(item_id)) as stranger,
        ):
            stranger.receive_text()

    assert (welcome["type"], joined["type"], message["data"]) == ("welcome", "joined", "hello")
    assert (told.value.code, told.value.reason) == (1008, "credentials_missing")


def _run(command: Command, folder: Path, **settings: str) -> AbstractContextManager[Started]:
    """Start a server beside this interpreter, on a port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    name, *options = command.words.format(port).split()
    return started([str(Path(sys.executable).with_name(name)), *options], folder, **settings)


def _until_closed(connection: ClientConnection, deadline: float) -> Iterator[object]:
    """Read until the server ends the connection, which must be before the deadline."""
    try:
        while True:
            yield connection.recv(timeout=deadline - time.monotonic())
    except ConnectionClosed as ended:
        yield close_of(ended)
