"""The attacker's process: `python -m tests.siege.attacker HOST PORT PID`.

It reads orders, a line of JSON each, and answers each with a line when it is carried out.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import msgspec

from itemwire.bench.crowd import allow_files
from tests.siege.attack import Attack, Order, Outcome
from tests.siege.attacks import ATTACKS
from tests.siege.cores import other_cores
from tests.siege.door import Door

MOST_SOCKETS: Final = 2000


def main(host: str, port: str, pid: str) -> None:
    """Carry out orders until no more come."""
    os.sched_setaffinity(0, other_cores())
    allow_files(MOST_SOCKETS)
    door = Door(host, int(port), int(pid))
    attacks: dict[str, Attack] = {}
    try:
        for line in sys.stdin:
            order = msgspec.json.decode(line, type=Order)
            outcome = carry_out(order, attacks, door)
            sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        for attack in attacks.values():
            attack.leave()


def carry_out(order: Order, attacks: dict[str, Attack], door: Door) -> Outcome:
    """Prepare an attack, run a round of it, or let go of it."""
    if order.verb == "prepare":
        give_way(is_measured=order.is_neighbour_judged)
        attacks[order.name] = ATTACKS[order.name].make()
        attacks[order.name].prepare(door)
    elif order.verb == "run":
        return attacks[order.name].run(door, order.seconds)
    else:
        attacks.pop(order.name).leave()
    return Outcome()


def give_way(*, is_measured: bool) -> None:
    """Let the neighbour, who has the same core, run at once: its delay must be the server's.

    Where that is not judged other processes may keep the core busy, and an idle one would starve.
    So would it in a siege that is run in real time, ahead of whatever else the machine does.
    """
    if not is_measured:
        return
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setparam(0, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    else:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main(*sys.argv[1:])
