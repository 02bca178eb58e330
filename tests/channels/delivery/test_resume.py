"""The proof that a client was on a channel: whose it is, and from which offset on it holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from typing_extensions import override

from itemwire.channels.delivery.resume import (
    CHECK_TICKS,
    Proof,
    ResumeProofs,
    read_since,
)
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Position
from tests.fakes import BOUNDS

ALICE = ("https://issuer.test", "alice")


class SecretEngine(MemoryEngine):
    """An engine whose secret, and when it is answered, a test decides."""

    def __init__(self, secret: bytes | EngineError) -> None:
        super().__init__(BOUNDS)
        self.now = secret
        self.asked: list[Answer[bytes]] = []
        self.is_slow = False

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        self.asked.append(answer)
        if not self.is_slow:
            answer(self.now)


def started(secret: bytes | EngineError = b"s" * 32) -> ResumeProofs:
    """Make proofs that have learned a secret, or that there is none."""
    proofs = ResumeProofs()
    asyncio.run(proofs.start(SecretEngine(secret)))
    return proofs


def proof_of(proofs: ResumeProofs, first: int = 5) -> Proof:
    """Write a proof for alice on item 42, and read it as it comes back."""
    resume = proofs.write(ALICE, "42", "e", first)
    _, proof = read_since(f"{resume}:{first}")
    assert proof is not None
    return proof


def test_comes_back_as_it_was_written() -> None:
    """A client puts a colon and its offset behind it, as behind an epoch."""
    resume = started().write(ALICE, "42", "a-_Z9", 5)

    position, proof = read_since(f"{resume}:17")

    assert position == Position("a-_Z9", 17)
    assert proof is not None
    assert (proof.first, len(proof.mac)) == (5, 22)
    assert read_since("e:7") == (Position("e", 7), None)


@pytest.mark.parametrize(
    "written", ["", "e", "e:", ":1", "e.5:7", "e.5.mac", "e.x.mac:7", "e.5..:7", "e.5.mac:-1"]
)
def test_anything_else_is_no_position(written: str) -> None:
    """It is refused as before, rather than read as a proof that does not hold."""
    with pytest.raises(ValueError, match="write <epoch>:<offset>"):
        read_since(written)


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        pytest.param({}, True, id="as-written"),
        pytest.param({"since": Position("e", 999)}, True, id="a-later-offset"),
        pytest.param({"since": Position("e", 4)}, False, id="an-offset-before"),
        pytest.param({"since": Position("f", 5)}, False, id="another-epoch"),
        pytest.param({"item": "43"}, False, id="another-item"),
        pytest.param({"caller": (ALICE[0], "bob")}, False, id="another-subject"),
        pytest.param({"caller": ("https://other.test", "alice")}, False, id="another-issuer"),
        pytest.param({"caller": (None, "alice")}, False, id="no-issuer"),
        pytest.param({"item": "lice", "caller": (ALICE[0], "a42")}, False, id="shifted"),
        pytest.param({"proof": lambda one: Proof(4, one.mac)}, False, id="a-first-before"),
        pytest.param({"proof": lambda _: Proof(5, "A" * 22)}, False, id="a-forged-mac"),
        pytest.param({"proof": lambda one: Proof(5, one.mac[:-1])}, False, id="a-short-mac"),
    ],
)
def test_holds_for_its_caller_item_epoch_and_offset_alone(
    changed: dict[str, Any], holds: bool
) -> None:
    """Whatever of it is another, it proves nothing (requirement 130)."""
    proofs = started()
    proof = proof_of(proofs)
    if "proof" in changed:
        proof = changed["proof"](proof)
    caller, item = changed.get("caller", ALICE), changed.get("item", "42")

    assert proofs.verify(proof, caller, item, changed.get("since", Position("e", 5))) is holds


def test_proves_nothing_once_the_store_has_another_secret() -> None:
    """A store that was emptied: noticed within so many ticks, and on every node."""
    engine = SecretEngine(b"a" * 32)
    proofs = ResumeProofs()
    asyncio.run(proofs.start(engine))
    before = proof_of(proofs)
    engine.now = b"b" * 32
    for _ in range(CHECK_TICKS):
        proofs.tick(engine)

    assert len(engine.asked) == 2
    assert not proofs.verify(before, ALICE, "42", Position("e", 5))
    assert proofs.verify(proof_of(proofs), ALICE, "42", Position("e", 5))


def test_goes_on_with_its_secret_while_the_engine_is_away() -> None:
    """An error is no other secret."""
    engine = SecretEngine(b"a" * 32)
    proofs = ResumeProofs()
    asyncio.run(proofs.start(engine))
    engine.now = EngineError("away")
    for _ in range(CHECK_TICKS):
        proofs.tick(engine)

    assert proofs.verify(proof_of(proofs), ALICE, "42", Position("e", 5))


def test_proves_nothing_without_a_secret_until_there_is_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A full store may have no room for it: sockets are served all the same."""
    proofs = started(EngineError("full"))

    assert proofs.write(ALICE, "42", "e", 5) is None
    assert not proofs.verify(Proof(5, "A" * 22), ALICE, "42", Position("e", 5))
    assert [one.message for one in caplog.records] == ["resume_unavailable problem=full"]
    for _ in range(CHECK_TICKS):
        proofs.tick(SecretEngine(b"a" * 32))
    assert proofs.write(ALICE, "42", "e", 5) is not None


def test_a_start_waits_for_the_secret() -> None:
    """So the first client that is welcomed has its `resume`."""
    engine, proofs = SecretEngine(b"a" * 32), ResumeProofs()
    engine.is_slow = True

    async def start() -> tuple[bool, bool]:
        starting = asyncio.create_task(proofs.start(engine))
        await asyncio.sleep(0)
        was_done = starting.done()
        engine.asked[0](engine.now)
        await starting
        return was_done, proofs.write(ALICE, "42", "e", 5) is not None

    assert asyncio.run(start()) == (False, True)


def test_costs_a_welcome_little() -> None:
    """One keyed hash: some microseconds, with a wide margin for a machine that is busy."""
    proofs = started()
    began = time.process_time()
    for number in range(1000):
        proofs.write(ALICE, "42", "e", number)

    assert time.process_time() - began < 0.05


def test_asks_for_the_secret_again_once_in_so_many_ticks() -> None:
    """Not at each: a store that was emptied may be noticed ten seconds later."""
    engine, proofs = SecretEngine(b"a" * 32), ResumeProofs()
    asyncio.run(proofs.start(engine))
    asked = []
    for _ in range(2 * CHECK_TICKS):
        proofs.tick(engine)
        asked.append(len(engine.asked) - 1)

    assert asked == [0] * (CHECK_TICKS - 1) + [1] * CHECK_TICKS + [2]
