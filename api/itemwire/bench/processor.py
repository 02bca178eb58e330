"""The processor time of a process and its children, as Linux reports it."""

import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
USER_FIELD: Final = 11  # in /proc/PID/stat, counted after the process name
SYSTEM_FIELD: Final = 12
PARENT_FIELD: Final = 1


def family_of(pid: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    parents = {child: _parent(child) for child in map(int, filter(str.isdigit, _names()))}
    family = [pid]
    for member in family:  # the list grows during the loop
        family += [child for child, parent in parents.items() if parent == member]
    return family


class ServerClock:
    """Measures the processor time of a server from now on; without a process, nothing."""

    def __init__(self, pid: int | None) -> None:
        self._family = [] if pid is None else family_of(pid)
        self._user, self._system = _time_of(self._family)

    def stop(self) -> tuple[float, float]:
        """Return the seconds that were used until now: in user mode, and in the kernel."""
        user, system = _time_of(self._family)
        return user - self._user, system - self._system


def figures_per(operations: float, seconds: tuple[float, float]) -> dict[str, float]:
    """Return the µs that each operation took the server; nothing if nothing was measured."""
    user, system = seconds
    if not operations or not user + system:
        return {}
    return {"user_us": user / operations * 1e6, "sys_us": system / operations * 1e6}


def _time_of(family: list[int]) -> tuple[float, float]:
    """Return the seconds in user mode and in the kernel of some processes together."""
    if not family:
        return 0.0, 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    found = [_fields(pid) for pid in family]
    user = sum(int(one[USER_FIELD]) for one in found if one)
    system = sum(int(one[SYSTEM_FIELD]) for one in found if one)
    return user / ticks, system / ticks


def _names() -> list[str]:
    return [path.name for path in PROC.iterdir()] if PROC.exists() else []


def _parent(pid: int) -> int:
    found = _fields(pid)
    return int(found[PARENT_FIELD]) if found else 0


def _fields(pid: int) -> list[str]:
    """Return the fields after the name in a process's status; none if it is not there."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
