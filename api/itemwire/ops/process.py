"""What the operating system knows of this process."""

import os
import sys
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_HAS_STATM: Final = _STATM.exists()
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_bytes() -> int:
    """Return the memory of this process: what it has now, or has had at most; 0: unknown."""
    if _HAS_STATM:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - there is none on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
