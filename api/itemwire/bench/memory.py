"""The memory of a process and its children, as Linux accounts for it."""

from pathlib import Path
from typing import Final

from itemwire.bench.errors import BenchError

PROC: Final = Path("/proc")
PARENT_FIELD: Final = 1  # of /proc/PID/stat, counted after the name


def memory_of(pid: int) -> int:
    """Give the bytes (PSS: what is shared counts in part) of a process tree."""
    if not (PROC / "self" / "smaps_rollup").exists():
        raise BenchError("memory can be measured on Linux only, where the server runs")
    if not (PROC / str(pid)).exists():
        raise BenchError(f"no process has the id {pid}")
    return sum(map(_pss, _family(pid)))


def _family(pid: int) -> list[int]:
    parents = {child: _parent(child) for child in map(int, filter(str.isdigit, _names()))}
    family = [pid]
    for member in family:  # grows while it is walked
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
        raise BenchError(f"the memory of process {pid} is not yours to read") from error
    except OSError:
        return 0  # ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
