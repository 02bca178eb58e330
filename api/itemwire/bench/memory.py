"""The memory of a process and its children, as Linux reports it."""

from pathlib import Path
from typing import Final

from itemwire.bench.errors import BenchError

PROC: Final = Path("/proc")
PARENT_FIELD: Final = 1  # in /proc/PID/stat, counted after the process name


def memory_of(pid: int) -> int:
    """Return the bytes of a process tree as PSS: a shared page counts in part for each user.

    Raises `BenchError` if this is not Linux, or the process does not exist or is not yours.
    """
    if not (PROC / "self" / "smaps_rollup").exists():
        raise BenchError("memory can be measured on Linux only, on the server's own machine")
    if not (PROC / str(pid)).exists():
        raise BenchError(f"there is no process with the id {pid}")
    return sum(map(_pss, _family(pid)))


def _family(pid: int) -> list[int]:
    parents = {child: _parent(child) for child in map(int, filter(str.isdigit, _names()))}
    family = [pid]
    for member in family:  # the list grows during the loop
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _names() -> list[str]:
    return [path.name for path in PROC.iterdir()]


def _parent(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0  # ended meanwhile
    return int(text.rpartition(")")[2].split()[PARENT_FIELD])


def _pss(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except PermissionError as error:
        raise BenchError(f"no permission to read the memory of process {pid}") from error
    except OSError:
        return 0  # ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
