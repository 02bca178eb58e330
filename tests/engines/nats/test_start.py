"""The NATS engine: its URL, and starts that fail."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from itemwire.engines import open_engine
from itemwire.engines.base import EngineError, Sink
from itemwire.engines.callbacks import LATE
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.target import NatsTarget
from tests.certificates import localhost_certificate
from tests.engines.redis.test_start import SECRET, refusal_of
from tests.engines.watched import node, play
from tests.fakes import BOUNDS
from tests.nats_server import NatsServer, running_nats
from tests.proxy import Proxy
from tests.server_process import free_port
from tests.timing import BUSY_SECONDS


@contextlib.contextmanager
def saying(greeting: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Run a server that greets, answers pings, and keeps what it is told."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.sendall(greeting + b"\r\n")
                        while data := client.recv(4096):
                            told.append(data)
                            if b"PING" in data:
                                client.sendall(b"PONG\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], told


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_server_that_is_not_there_is_one_clear_line(scheme: str) -> None:
    """Where, and why; never the password (requirement 117)."""
    problem = refusal_of(open_engine(f"{scheme}://me:{SECRET}@127.0.0.1:{free_port()}", BOUNDS))

    assert problem.startswith(f"cannot use {scheme}://***@127.0.0.1:")
    assert "connect" in problem.lower()
    assert "\n" not in problem
    assert SECRET not in problem


@pytest.mark.parametrize(
    ("config", "right", "wrong"),
    [
        pytest.param("user: me, password: 'a/b:c%'", "me:a%2Fb:c%25", f"me:{SECRET}", id="user"),
        pytest.param("token: 'a@b'", "a%40b", SECRET, id="token"),
    ],
)
def test_a_wrong_password_is_one_clear_line(
    tmp_path: Path, config: str, right: str, wrong: str
) -> None:
    """The right one is taken, percent-encoded; the wrong one is not shown."""

    async def scene(url: str) -> None:
        async with node(url) as watched:
            assert (await watched.publish("hello")).offset == 1

    with running_nats(tmp_path, f"authorization {{ {config} }}") as server:
        play(lambda: scene(f"nats://{right}@127.0.0.1:{server.port}"))
        problem = refusal_of(open_engine(f"nats://{wrong}@127.0.0.1:{server.port}", BOUNDS))

    assert "authorization violation" in problem.lower()
    assert SECRET not in problem


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    """Start-up ends with a reason, soon."""
    with running_nats(tmp_path) as server:
        engine = open_engine(server.url, BOUNDS)
        begun = time.monotonic()
        with server.paused():
            problem = refusal_of(engine)

    assert "no answer in time" in problem
    assert time.monotonic() - begun < 3 + BUSY_SECONDS


def test_asks_again_until_somebody_answers(tmp_path: Path) -> None:
    """What is asked while a cluster chooses who leads gets lost, more than once (141)."""
    asked: list[bytes] = []

    async def scene(url: str) -> None:
        leader = await nats.connect(url)

        async def answer_the_third(message: Msg) -> None:
            asked.append(message.data)
            if len(asked) == 3:
                await message.respond(b"found")

        await leader.subscribe("asked", cb=answer_the_third)
        await leader.flush()

        async def ask() -> None:
            assert (await link.request("asked", b"who leads?")).data == b"found"

        link = NatsConnection(NatsTarget.of(url), ask, ask, lambda: None)
        begun = time.monotonic()
        link.start()
        await link.first_attempt()
        assert time.monotonic() - begun < 2 + BUSY_SECONDS
        await link.stop()
        await leader.close()

    with running_nats(tmp_path) as server:
        play(lambda: scene(server.url))

    assert asked[:3] == [b"who leads?"] * 3


def test_a_connection_that_breaks_before_it_is_ready_is_made_anew(tmp_path: Path) -> None:
    """It is not asked again and again what it can no longer answer (141)."""

    async def scene(proxy: Proxy) -> None:
        leader = await nats.connect(f"nats://127.0.0.1:{proxy.target}")
        asked = asyncio.Event()

        async def say_nothing(_message: Msg) -> None:
            asked.set()

        await leader.subscribe("asked", cb=say_nothing)
        await leader.flush()

        async def ask() -> None:
            await link.request("asked", b"who leads?")

        target = NatsTarget.of(f"nats://127.0.0.1:{proxy.port}")
        link = NatsConnection(target, ask, ask, lambda: None)
        link.start()
        await asked.wait()
        proxy.cut()
        with pytest.raises(EngineError) as broke:
            await asyncio.wait_for(link.first_attempt(), 2 + BUSY_SECONDS)
        await link.stop()
        await leader.close()

        assert LATE not in str(broke.value)

    with running_nats(tmp_path) as server, Proxy(server.port).running() as proxy:
        play(lambda: scene(proxy))


def test_needs_jetstream(tmp_path: Path) -> None:
    """A server without it keeps nothing."""
    server = NatsServer(tmp_path)
    server.configure("", jetstream=None)
    server.start()
    try:
        problem = refusal_of(open_engine(server.url, BOUNDS))
    finally:
        server.kill()

    assert "JetStream is away, or is not enabled" in problem


def test_needs_a_server_that_is_new_enough() -> None:
    """Older ones know no messages that end by themselves: said before anything is tried."""
    with saying(b'INFO {"version":"2.10.26","headers":true,"max_payload":1048576}') as (port, _):
        problem = refusal_of(open_engine(f"nats://127.0.0.1:{port}", BOUNDS))

    assert problem.endswith("the server is 2.10.26, and 2.11 is the oldest that will do")


@pytest.mark.parametrize("who", ["", f"me:{SECRET}@", f"{SECRET}@"], ids=["no", "user", "token"])
def test_tells_no_secret_to_a_server_that_does_not_encrypt(who: str) -> None:
    """Anyone who stands in between could say that the server cannot."""
    info = b'INFO {"version":"2.12.0","headers":true,"auth_required":true,"max_payload":1048576}'
    with saying(info) as (port, told):
        problem = refusal_of(open_engine(f"tls://{who}127.0.0.1:{port}", BOUNDS))

    assert "does not encrypt" in problem
    assert SECRET.encode() not in b"".join(told)


def test_believes_no_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    """The one that is named is believed: the conformance suite runs on it."""
    certificate = tmp_path / "localhost.pem"
    certificate.write_bytes(localhost_certificate())
    config = f"tls {{ cert_file: '{certificate}', key_file: '{certificate}' }}"
    with running_nats(tmp_path, config) as server:
        problem = refusal_of(open_engine(f"tls://localhost:{server.port}", BOUNDS))

    assert "certificate" in problem.lower()


def test_a_node_goes_on_when_its_authority_is_there_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the file at one attempt, it made no other."""
    certificate = tmp_path / "localhost.pem"
    certificate.write_bytes(localhost_certificate())
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.read_bytes())
    tls = f"tls {{ cert_file: '{certificate}', key_file: '{certificate}' }}"

    with running_nats(tmp_path, tls) as server:

        async def scene() -> None:
            async with node(f"tls://localhost:{server.port}?tls_ca={authority}") as watched:
                await watched.publish("before")
                authority.unlink()
                server.kill()
                await watched.until(lambda: "tls_ca cannot be read" in caplog.text)
                await asyncio.to_thread(server.start)
                authority.write_bytes(certificate.read_bytes())
                await watched.publish_at_last("after")

        play(scene)


def test_all_nodes_must_say_the_same_of_the_disk(tmp_path: Path) -> None:
    """Else each would take the others' epochs for over."""

    async def scene(url: str) -> None:
        async with node(url) as watched:
            await watched.publish("hello")

    with running_nats(tmp_path) as server:
        play(lambda: scene(server.url))
        problem = refusal_of(open_engine(f"{server.url}?sync=always", BOUNDS))
        play(lambda: scene(f"{server.url}/other?sync=always"))

    assert "sync= must be the same" in problem


def test_reads_a_url() -> None:
    """Several servers of a cluster, a world, and what may be said of it."""
    url = "nats://me:s%40cret@one,two:4223/staging?replicas=3&sync=always"
    target = NatsTarget.of(url)

    assert target.servers == ["nats://one:4222", "nats://two:4223"]
    assert (target.world, target.replicas, target.is_synced) == ("staging", 3, True)
    assert (target.user, target.secret) == ("me", "s@cret")
    assert target.shown == "nats://***@one,two:4223/staging"
    assert "s@cret" not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        f"nats://me:{SECRET}@host:port",
        f"nats://me:{SECRET}@[::1",
        f"nats://me:{SECRET}/x@host",
        f"nats://me:{SECRET}@host/a.b",
        f"nats://me:{SECRET}@host?nonsense=1",
        f"nats://me:{SECRET}@host?replicas=many",
        f"nats://me:{SECRET}@host?sync=never",
        f"nats://me:{SECRET}@host,",
        f"tls://me:{SECRET}@host?tls_ca=/nowhere.pem",
    ],
)
def test_refuses_what_is_not_a_url(url: str) -> None:
    """With what to look at, and without the password."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL") as refused:
        open_engine(url, BOUNDS)

    assert SECRET not in str(refused.value)


def test_says_which_extra_is_missing() -> None:
    """The client is not everybody's dependency: who names the engine is told what to install."""
    code = """
import sys
sys.modules["nats"] = None
from itemwire.engines import open_engine
from itemwire.engines.base import Bounds
try:
    open_engine("nats://localhost", Bounds(1, 1, 1))
except ValueError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert "pip install 'itemwire[nats]'" in told
    assert told.count("\n") == 1


def test_starts_again_after_it_was_stopped(tmp_path: Path) -> None:
    """And tells who asks before or after, with an error and not with silence."""

    async def scene(url: str) -> None:
        async with node(url) as watched:
            engine = watched.engine
            assert engine.is_available
            await engine.stop()
            assert not engine.is_available
            with pytest.raises(EngineError, match="away"):
                await watched.publish("x")
            with pytest.raises(EngineError, match="away"):
                await watched.read()
            await engine.start(Sink())
            assert (await watched.publish("y")).offset == 1

    with running_nats(tmp_path) as server:
        play(lambda: scene(server.url))
