"""Keys from a file that may change while the server runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, TypeAlias

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.static import ALGORITHMS, VerificationKey, keys_from_file

LOOK_SECONDS: Final = 1.0  # a lookup within this time of the last look takes no system call

_log: Final = logging.getLogger("itemwire.auth")

# A file is written in place or put in place of the old one: time, size or identity tell.
Stamp: TypeAlias = tuple[int, int, int]


class FileKeys:
    """The keys of a JWK Set file, read again when it has changed; raises KeyProblem at first.

    Later, a file that is damaged, half written or gone is logged and changes nothing, but a key
    that is no longer in a good one is gone a second after it was taken out.
    """

    def __init__(
        self,
        path: Path,
        algorithms: Collection[str] = ALGORITHMS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._algorithms = algorithms
        self._clock = clock
        self._looked_at = clock()
        self._loaded = _stamp(path)  # before it is read: what is written meanwhile is a change
        self._faulty: Stamp | None = self._loaded
        self._keys = keys_from_file(path, algorithms)
        self.failures = 0

    def find(self, kid: str | None) -> VerificationKey | None:
        """Find the key a token names; looks at most once a second whether the file has changed."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._reload()
        return self._keys.find(kid)

    async def refresh_for(self, _kid: str | None, /) -> bool:
        """Tell that there is nowhere else to look for a key."""
        return False

    def _reload(self) -> None:
        """Read the file if it is not the one that was loaded."""
        stamp = _stamp(self._path)
        if stamp == self._loaded:
            self._faulty = stamp
            return
        try:
            keys = keys_from_file(self._path, self._algorithms)
        except KeyProblem as problem:
            # A half-written file may keep its stamp, so it is tried again; one line is enough.
            if stamp != self._faulty:
                self._faulty = stamp
                self.failures += 1
                _log.error("keys_file_refused keys=%d detail=%s", len(self._keys), problem)
            return
        self._keys = self._keys.renewed(keys)
        self._loaded = self._faulty = stamp
        _log.info("keys_file_changed path=%s keys=%d", self._path, len(self._keys))


def _stamp(path: Path) -> Stamp | None:
    """Tell one state of a file from another."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
