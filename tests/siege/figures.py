"""What Linux says of a process: memory, descriptors, processor time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
RESET_PEAK: Final = "5"  # proc(5), clear_refs


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return _status_bytes(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """Return the most resident memory that a process had since `reset_peak`."""
    return _status_bytes(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Start the peak anew from what is resident now."""
    (PROC / str(pid) / "clear_refs").write_text(RESET_PEAK)


def descriptors(pid: int) -> int:
    """Count the open files of a process."""
    return len(os.listdir(PROC / str(pid) / "fd"))  # noqa: PTH208 - a Path for each is not needed


def cpu_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process, with a resolution of nanoseconds."""
    tasks = (PROC / str(pid) / "task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _status_bytes(pid: int, name: str) -> int:
    fields = (PROC / str(pid) / "status").read_text().split(f"{name}:")[1].split()
    return int(fields[0]) * 1024
