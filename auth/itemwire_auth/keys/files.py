"""Keys from a file that may change while the server runs."""

from __future__ import annotations

import logging
import stat
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, TypeAlias

from typing_extensions import override

from itemwire_auth.errors import KeyProblem, Unavailable
from itemwire_auth.keys.algorithms import ALGORITHMS, VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.static import keys_from_file

CHECK_SECONDS: Final = 1.0  # a lookup within this time of the last check takes no system call

_log: Final = logging.getLogger("itemwire.auth")

# Time, size and inode: a file that is written in place changes the first two, one that replaces
# the old file changes the third.
FileStamp: TypeAlias = tuple[int, int, int]


class FileKeys(KeySource):
    """The keys of a JWK Set file, read again when it has changed.

    A file that cannot be used raises KeyProblem at first. Later, one that is damaged, half written
    or missing is logged and changes nothing. A key that is removed from a good file stops working
    within a second.
    """

    def __init__(
        self,
        path: Path,
        algorithms: Collection[str] = tuple(ALGORITHMS),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._algorithms = algorithms
        self._clock = clock
        self._checked_at = clock()
        self._loaded = _stamp(path)  # before reading: a write during it then counts as a change
        self._faulty: FileStamp | None = self._loaded
        self._keys = keys_from_file(path, algorithms)
        self.failures = 0

    @property
    @override
    def algorithms(self) -> tuple[str, ...]:
        return self._keys.algorithms

    @override
    def find(self, kid: str | None, algorithm: str | None = None, /) -> VerificationKey | None:
        """Return the key with this `kid`; check for changes at most once a second."""
        now = self._clock()
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self._reload()
        return self._keys.find(kid, algorithm)

    @override
    async def refresh_for(self, kid: str | None, /) -> bool:
        """Return False, as `find` has looked; raise Unavailable while the file is refused.

        A new key may be in it: its tokens are told to come back, not that they are bad.
        """
        if kid is not None and self._faulty != self._loaded:
            raise Unavailable(f"the keys file {self._path} has changed and cannot be used")
        return False

    def _reload(self) -> None:
        """Read the file if it is not the one that was loaded."""
        stamp = _stamp(self._path)
        if stamp == self._loaded:
            self._faulty = stamp
            return
        try:
            self._refuse_pipe()
            keys = keys_from_file(self._path, self._algorithms)
        except KeyProblem as problem:
            # A half-written file may keep its stamp once complete, so each check tries it again;
            # one line in the log is enough.
            if stamp != self._faulty:
                self._faulty = stamp
                self.failures += 1
                _log.error("keys_file_refused keys=%d detail=%s", len(self._keys), problem)
            return
        self._keys = self._keys.renewed(keys)
        self._loaded = self._faulty = stamp
        _log.info("keys_file_changed path=%s keys=%d", self._path, len(self._keys))

    def _refuse_pipe(self) -> None:
        """Raise KeyProblem for what is no file: whoever waits for a writer serves nobody."""
        try:
            mode = self._path.stat().st_mode
        except OSError:
            return  # whoever reads it says why it cannot be
        if not stat.S_ISREG(mode):
            raise KeyProblem(f"the keys file {self._path} is no file any more")


def _stamp(path: Path) -> FileStamp | None:
    """Return what tells one state of a file from another, or None if it cannot be read again."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None  # a pipe is read once
    return status.st_mtime_ns, status.st_size, status.st_ino
