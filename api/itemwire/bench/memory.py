"""The memory of a process and its children, as Linux reports it."""

from itemwire.bench.errors import BenchError
from itemwire.bench.processor import PROC, family_of


def memory_of(pid: int) -> int:
    """Return the bytes of a process tree as PSS: a shared page counts in part for each user.

    Raises `BenchError` if this is not Linux, or the process does not exist or is not yours.
    """
    if not (PROC / "self" / "smaps_rollup").exists():
        raise BenchError("memory can be measured on Linux only, on the server's own machine")
    if not (PROC / str(pid)).exists():
        raise BenchError(f"there is no process with the id {pid}")
    return sum(map(_pss, family_of(pid)))


def _pss(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except PermissionError as error:
        raise BenchError(f"no permission to read the memory of process {pid}") from error
    except OSError:
        return 0  # ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
