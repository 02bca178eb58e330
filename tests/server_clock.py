"""A clock for one server's processes, which a test moves while they run: libfaketime.

It is preloaded, so it does nothing for a server that is linked statically, as nats-server is.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

LIBRARY: Final = Path("vendor", "libfaketime", "src", "libfaketime.so.1")


def find_library() -> Path:
    """Find the library, which the extra `dev` brings."""
    package = find_spec("libfaketime")
    assert package is not None, "there is no libfaketime: install the extra dev"
    assert package.origin is not None
    return Path(package.origin).parent / LIBRARY


class ServerClock:
    """Unix time, ahead of the machine's or behind it; time that only measures goes on as it is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._library = folder / LIBRARY.name
        shutil.copy(find_library(), self._library)  # where the server's user may read it
        self.move_to(0)

    @property
    def environment(self) -> dict[str, str]:
        """Give what the server has to be started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def move_to(self, seconds: float) -> None:
        """Let it be so many seconds ahead of the machine's clock, at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+f}")
        new.replace(self._file)  # read as a whole, whenever
