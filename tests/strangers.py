"""Bad tokens beside a healthy subscriber (requirement 41): `python -m tests.strangers`.

A server in a process of its own, a client that publishes to itself 200 times a second, and another
process that presents tokens of which each is whole but for its signature, a hundred at a time.
Exits with 1 if a message comes more than 100 ms later than without them.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.testing import TokenFactory
from itemwire_auth.testing.keys import jwk_set, public_jwk, signing_key
from tests.fastpath.served import head
from tests.scenarios.clients import JSON, item_path
from tests.scenarios.processes import started

MAX_DELAY_MS: Final = 100.0
BETWEEN: Final = 0.005  # seconds, of two messages
CALM: Final = 400  # messages that are sent first
AT_ONCE: Final = 100
ALGORITHMS: Final = ("HS256", "RS256", "PS512", "ES256", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class Delays:
    """How late messages came, in milliseconds."""

    all: list[float]

    @override
    def __str__(self) -> str:
        """Say it in a line."""
        ordered = sorted(self.all)
        median, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        return f"p50 {median:.1f} ms, p99 {late:.1f} ms, max {max(ordered):.1f} ms"


async def _hear_own(client: ClientConnection) -> float:
    """Publish a message, and tell after how many milliseconds it came."""
    began = time.perf_counter()
    await client.send('{"type":"publish","data":0}')
    while json.loads(await client.recv())["type"] != "message":
        pass
    return (time.perf_counter() - began) * 1000


async def measure(url: str, flood: multiprocessing.Process) -> tuple[Delays, Delays]:
    """Talk alone for a while, then for as long as the flood lasts."""
    calm, beside = list[float](), list[float]()
    async with connect(url, subprotocols=[Subprotocol(JSON)], compression=None) as client:
        for _ in range(CALM):
            calm.append(await _hear_own(client))
            await asyncio.sleep(BETWEEN)
        flood.start()
        while flood.is_alive():
            beside.append(await _hear_own(client))
            await asyncio.sleep(BETWEEN)
    return Delays(calm), Delays(beside)


def present(url: str, tokens: Sequence[str]) -> None:
    """Present each token in a handshake, so many at a time, and wait for the refusals."""
    asyncio.run(_present(url, tokens))


async def _present(url: str, tokens: Sequence[str]) -> None:
    address, room = urlsplit(url), asyncio.Semaphore(AT_ONCE)

    async def knock(token: str) -> None:
        async with room:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(head(item_path("7", {"token": token})))
            answer = await reader.readuntil(b"\r\n\r\n") + await reader.read(100)
            if b"credentials_invalid" not in answer:
                raise AssertionError(answer)
            writer.close()

    await asyncio.gather(*map(knock, tokens))


def run(algorithm: str, count: int) -> tuple[Delays, Delays]:
    """Measure a server that has one key of an algorithm."""
    own = TokenFactory(signing_key(algorithm, "k"))
    strangers = TokenFactory(SigningKey("k", algorithm, signing_key(algorithm, "other").key))
    tokens = [strangers.good(jti=str(number)) for number in range(count)]
    serve = [sys.executable, "-c", "from itemwire.cli import main; main()", "serve", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        keys.write_text(jwk_set(public_jwk(own.key)))
        command = ["env", "-u", "ITEMWIRE_SECRET", *serve]
        with started(
            command, Path(folder), keys_file=str(keys), audience="itemwire-tests"
        ) as running:
            url = running.server.url
            flood = multiprocessing.Process(target=present, args=(url, tokens))
            good = running.server.socket_url(item_path("42", {"token": own.good()}))
            delays = asyncio.run(measure(good, flood))
            flood.join()
            if flood.exitcode:
                raise AssertionError("a stranger was not refused")
    return delays


@click.command()
@click.option("--tokens", default=1000, show_default=True, help="Bad tokens that are presented.")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), multiple=True, default=ALGORITHMS)
def main(tokens: int, algorithm: Sequence[str]) -> None:
    """Measure what strangers cost those who are served."""
    is_good = True
    for name in algorithm:
        calm, beside = run(name, tokens)
        click.echo(f"{name}: alone {calm}; beside {tokens} bad tokens {beside}")
        is_good &= max(beside.all) - max(calm.all) <= MAX_DELAY_MS
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
