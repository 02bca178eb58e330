"""Keeps the server and its attackers on cores of their own, where there are two."""

from __future__ import annotations

import os
from contextlib import suppress


def server_cores() -> set[int]:
    """Return the cores that the server runs on."""
    return _split()[0]


def other_cores() -> set[int]:
    """Return the cores that attackers and neighbours run on."""
    return _split()[1]


def _split() -> tuple[set[int], set[int]]:
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else ({cores[0]}, {cores[0]})


def run_at_once() -> None:
    """Let this process, and none that it starts, run ahead of all others, if it may.

    The neighbour is in it, and has the core of the attacker: its delay must be the server's, not
    that of a scheduler which lets an attacker end its slice first.
    """
    ahead = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    with suppress(PermissionError):
        os.sched_setscheduler(0, ahead, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
