"""Keeps the server and its attackers on cores of their own, where there are two."""

from __future__ import annotations

import os


def server_cores() -> set[int]:
    """Return the cores that the server runs on."""
    return _split()[0]


def other_cores() -> set[int]:
    """Return the cores that attackers and neighbours run on."""
    return _split()[1]


def _split() -> tuple[set[int], set[int]]:
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else ({cores[0]}, {cores[0]})
