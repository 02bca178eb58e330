"""The blocking twin: a limit everywhere, threads, and the interpreter's end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from itemwire.client import Client, ClientClosed, ClientError, Gap, RequestTimeout
from itemwire.client.sockets import ClientSocket
from tests.client.scripted import ScriptedServer, data_of


@pytest.fixture
def server() -> ScriptedServer:
    """A server in memory, which runs on the client's own event loop."""
    return ScriptedServer()


@pytest.fixture
def wire(server: ScriptedServer) -> Iterator[Client]:
    """A client of it."""
    with Client("wss://x", connect=server.connect, timeout=5.0) as client:
        yield client


def test_does_what_the_other_one_does(wire: Client) -> None:
    """One round trip through each of its methods."""
    wire.ready()
    item = wire.item("a", type=int)
    item.join()
    published = item.publish(1)
    wire.publish("a", 2)
    iterator = iter(item)
    read = [data_of(next(iterator)), data_of(item.receive())]

    assert (published.position, read) == ("e1:1", [1, 2])
    assert (item.id, item.state, item.position) == ("a", "joined", "e1:2")
    assert (item.members, item.member_count, "publish" in item.can) == ((), 0, True)
    assert wire.item("a") is item
    assert wire.state == "connected"


def test_iterating_ends_when_another_thread_leaves(wire: Client) -> None:
    """A program may stop its reader."""
    item = wire.item("a")
    item.join()
    wire.publish("a", 1)
    for message in item:
        assert not isinstance(message, Gap)
        threading.Thread(target=item.leave).start()

    with pytest.raises(StopIteration):
        next(item)


@pytest.mark.parametrize("kind", ["join", "publish", "request", "history"])
def test_every_call_has_a_limit(wire: Client, server: ScriptedServer, kind: str) -> None:
    """A server that says nothing must not hold a thread."""
    server.held.update({"join", "publish", "request", "history"})
    item = wire.item("a")
    calls: dict[str, Callable[[float], object]] = {
        "join": lambda timeout: item.join(timeout=timeout),
        "publish": lambda timeout: item.publish(1, timeout=timeout),
        "request": lambda timeout: item.request("x", timeout=timeout),
        "history": lambda timeout: item.history(timeout=timeout),
    }

    with pytest.raises(RequestTimeout):
        calls[kind](0.01)


def test_waiting_for_a_message_has_a_limit(wire: Client) -> None:
    """And one for a connection."""
    with pytest.raises(TimeoutError):
        wire.item("a").receive(timeout=0.01)
    with (
        Client("wss://x", connect=refuse) as nowhere,
        pytest.raises(RequestTimeout, match="no route"),
    ):
        nowhere.ready(timeout=0.01)


async def refuse(_: object) -> ClientSocket:
    """Be away."""
    raise OSError("no route")


def test_threads_may_share_one(wire: Client, server: ScriptedServer) -> None:
    """Each has its own answers."""
    results: list[str | None] = []

    def publish() -> None:
        results.extend(wire.publish("a", number).position for number in range(20))

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results, key=str) == sorted((f"e1:{one}" for one in range(1, 81)), key=str)


def test_functions_are_called_on_its_own_thread_and_must_not_wait(wire: Client) -> None:
    """A call there would wait for itself; it is told so."""
    told: list[object] = []
    done = threading.Event()

    def ask(message: object) -> None:
        try:
            wire.publish("a", "again")
        except RuntimeError as error:
            told.append(str(error))
        done.set()

    item = wire.item("a")
    remove = item.on("message", ask)
    item.join()
    wire.publish("a", 1)
    assert done.wait(5)
    remove()

    assert told == ["a function given to on() must not wait for the Client that calls it"]


def test_closing_twice_is_closing_once(wire: Client) -> None:
    """And what comes later is told that it is closed."""
    item = wire.item("a")
    item.join()
    wire.close()
    wire.close()

    with pytest.raises(ClientClosed, match="was closed"):
        item.publish(1)
    assert list(item) == []


def test_closing_ends_the_calls_of_all_threads(server: ScriptedServer) -> None:
    """One that goes on waiting would never be told."""
    server.held.update({"publish", "history"})
    wire = Client("wss://x", connect=server.connect, timeout=60.0)
    wire.connect()
    items = [wire.item(name) for name in "abcd"]
    ends: list[str] = []

    def call(name: str, function: Callable[[], object]) -> None:
        try:
            function()
            ends.append(f"{name} ended")
        except ClientError as error:
            ends.append(f"{name} {type(error).__name__}")

    calls: dict[str, Callable[[], object]] = {
        "read": lambda: list(items[0]),
        "receive": items[1].receive,
        "publish": lambda: items[2].publish(1),
        "history": items[3].history,
    }
    threads = [threading.Thread(target=call, args=one) for one in calls.items()]
    for item in items:
        item.join()
    for thread in threads:
        thread.start()
    while len(server.socket.of_type("publish") + server.socket.of_type("history")) < 2:
        wire.wake()  # gives the others a turn
    wire.close()
    for thread in threads:
        thread.join(20)

    assert sorted(ends) == [
        "history ClientClosed",
        "publish PublishUnconfirmed",
        "read ended",
        "receive ClientClosed",
    ]


def test_a_function_that_closes_its_client_is_told_not_to(wire: Client) -> None:
    """It would wait for the thread that it runs on."""
    told: list[str] = []
    done = threading.Event()

    def close(_: object) -> None:
        try:
            wire.close()
        except RuntimeError as error:
            told.append(str(error))
        done.set()

    wire.item("a").on("message", close)
    wire.item("a").join()
    wire.publish("a", 1)

    assert done.wait(20)
    assert "must not wait" in told[0]
    assert wire.state == "connected"


def test_signs_out_and_in_again(wire: Client, server: ScriptedServer) -> None:
    """As the other one does."""
    wire.item("a").join()
    wire.sign_out()
    assert wire.state == "idle"
    wire.connect()
    wire.ready()
    wire.wake()

    assert len(server.sockets) == 2


def test_is_refused_in_a_coroutine() -> None:
    """It would hold the event loop; nothing that was begun is left."""
    client = Client("wss://x")

    async def call() -> None:
        client.connect()

    with pytest.raises(RuntimeError, match="use AsyncClient in coroutines"):
        asyncio.run(call())
    client.close()


LEFT_OPEN = """
import asyncio, threading
from itemwire.client import Client
from tests.client.scripted import ScriptedServer, data_of

def hang():
    threading.Event().wait()

server = ScriptedServer()
wire = Client("wss://x", connect=server.connect)
wire.connect()
item = wire.item("a")
item.join()
hanging = Client("wss://x", connect=server.connect, token=hang)
hanging.connect()
reader = threading.Thread(target=lambda: list(item), daemon=True)
reader.start()
import atexit
print("end")
"""


@pytest.mark.server
def test_a_client_that_is_left_open_does_not_hold_the_interpreter() -> None:
    """Nor does a token source that hangs; and nothing is printed."""
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),  # noqa: PTH120
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.server
def test_is_refused_in_a_forked_process() -> None:
    """Its thread is not there; a call would wait for ever."""
    code = """
import os, sys
from itemwire.client import Client
wire = Client("wss://x")
child = os.fork()
if child == 0:
    try:
        wire.connect()
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
wire.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "this Client is of the parent process: make one after the fork\n"
