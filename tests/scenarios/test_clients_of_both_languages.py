"""The short form of `python -m tests.client_run`, and what its comparison would find."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.client_run.outcome import Attempt, Break, ClientLog, ClientOutcome, densest
from tests.client_run.processes import Crowd
from tests.client_run.run import run
from tests.clients.node import need_node

TRUTH = {("e", offset): f"m{offset}" for offset in range(1, 7)}


@pytest.mark.server
def test_what_was_acknowledged_is_heard_once_by_clients_of_both_languages(tmp_path: Path) -> None:
    """The server is killed, and the lines are cut; the spread is judged with more clients."""
    need_node()

    outcome = asyncio.run(run(tmp_path, Crowd(4, pace=0.3, window=0.5), seconds=0, rounds=2))

    assert outcome.faults() == []
    assert [one.kind for one in outcome.breaks] == ["kill", "cut"]
    assert {log.name.partition("-")[0] for log in outcome.logs} == {"js", "py"}
    assert all(log.entries for log in outcome.logs)


def log_of(*entries: tuple[str, int, object]) -> ClientLog:
    """Return the log of a client that has begun behind the second message."""
    return ClientLog("ann", "run:0", ("e", 2), entries)


def heard(*offsets: int) -> list[tuple[str, int, object]]:
    """Return these messages as a client logs them."""
    return [("e", offset, TRUTH["e", offset]) for offset in offsets]


@pytest.mark.parametrize(
    ("log", "faults"),
    [
        (log_of(*heard(3, 4, 5, 6)), []),
        (log_of(*heard(3), ("e", 4, 5), *heard(6)), []),
        (log_of(*heard(3, 4, 6)), ["ann lost 'm5' at ('e', 5) without a gap"]),
        (log_of(*heard(3, 5, 4, 6)), ["ann heard messages out of order"]),
        (
            log_of(*heard(3, 4, 4, 5, 6)),
            ["ann heard ('e', 4) twice", "ann heard 'm4' twice"],
        ),
        (
            log_of(*heard(3, 4, 5), ("e", 6, "m1")),
            ["ann heard 'm1' at ('e', 6), not 'm6'"],
        ),
    ],
    ids=["all", "a gap", "a hole", "another order", "twice", "another text"],
)
def test_a_log_is_compared_with_what_was_acknowledged(log: ClientLog, faults: list[str]) -> None:
    """Each fault is named; a log without one is not."""
    assert list(log.faults(TRUTH)) == faults


def outcome_of(attempts: list[Attempt]) -> ClientOutcome:
    """Return what came of a run of 400 clients with one break."""
    logs = [log_of(*heard(3, 4, 5, 6))] * 400
    return ClientOutcome({"run:0": TRUTH}, logs, [Break("cut", 100.0, 200.0)], attempts, 0)


def test_clients_that_come_back_together_are_a_fault() -> None:
    """Of 400 attempts, 20 may fall into 100 ms; those before the break do not count."""
    together = [10.0] * 50 + [101.0] * 21 + [103.0 + 0.1 * number for number in range(379)]
    apart = [moment for moment in together if moment != 101.0] + [101.0] * 20 + [102.9]

    crowded = outcome_of([Attempt(moment, moment) for moment in together])
    spread = outcome_of([Attempt(moment, moment) for moment in apart])

    assert densest([1.0, 5.0, 1.05, 1.1]) == 2
    assert crowded.faults() == ["5.2% of the attempts after a cut fell within 0.1 s"]
    assert spread.faults() == []


def test_a_process_that_stands_still_makes_no_fault_and_is_told() -> None:
    """Its clients had set their timers apart, and began together when it went on."""
    meant = [101.0 + 0.125 * number for number in range(400)]
    late = outcome_of([Attempt(moment, max(moment, 111.0)) for moment in meant])

    (after,) = late.comebacks()
    assert (after.meant, after.begun) == (1 / 400, 81 / 400)
    assert late.faults() == []
    assert "as they began: 20.2%" in late.summary()
