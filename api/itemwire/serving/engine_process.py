"""The engine process as its supervisor sees it: started, started anew, and ended last."""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from itemwire.engines import OF_WORKERS, UNSHARED, open_engine
from itemwire.serving.engine_server import READY, EngineOptions
from itemwire.settings import Settings

logger = logging.getLogger("itemwire.server")

SHORT_LIFE: Final = 1.0  # seconds; one that has died sooner is not started again at once
END_SECONDS: Final = 15.0  # for a file to be closed, when nobody is connected any more
MOST_PATH: Final = 100  # bytes of a socket's path: the kernel has room for 107

SHARED_ANYWAY: Final = (
    "ITEMWIRE_SHARE_ENGINE is for engines on servers: the workers of memory:// and sqlite:// share "
    "theirs anyway; unset it"
)


class EngineProcess:
    """A process with the engine that the workers of a supervisor share.

    Its socket is in a folder that only this user may enter.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._options = EngineOptions(
            settings.engine_url,
            str(folder / "engine.sock"),
            settings.history_total_bytes,
            settings.graceful_timeout,
            settings.log_level,
            settings.log_format,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the process that the workers need; None where each has connections of its own.

        Raises ValueError where the engine cannot be used, or there is no place for a socket.
        """
        is_unshared = settings.engine_url.partition("://")[0] in UNSHARED
        if settings.share_engine and is_unshared:
            raise ValueError(SHARED_ANYWAY)
        if not settings.share_engine and not is_unshared:
            return None
        open_engine(settings.engine_url, settings.history_bounds)  # it opens nothing yet
        try:
            folder = Path(tempfile.mkdtemp(prefix="itemwire-engine-"))
        except OSError as error:
            raise ValueError(f"there is no folder for the workers' engine: {error}") from error
        process = cls(settings, folder)
        if len(os.fsencode(process._options.path)) > MOST_PATH:
            process.remove_folder()
            raise ValueError(f"TMPDIR is too long for a socket in it: {folder.parent}")
        return process

    @property
    def url(self) -> str:
        """Return the URL by which workers reach it."""
        return f"{OF_WORKERS}://{self._options.path}"

    def start(self) -> bool:
        """Start it, and return whether it came to serve; its log says why not."""
        self._launch()
        return self._said == READY

    def _launch(self) -> None:
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "itemwire.serving.engine_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            _pipe(self._process.stdin).write(msgspec.json.encode(self._options) + b"\n")

    @property
    def _said(self) -> bytes:
        """Wait for what it says next; nothing, once it has ended."""
        return b"" if self._process is None else _pipe(self._process.stdout).read(len(READY))

    @property
    def sentinels(self) -> list[int]:
        """Return the pipe that can be read when it has ended, or says something."""
        if self._process is None:
            return []
        return [_pipe(self._process.stdout).fileno()]

    def look_after(self, *, is_needed: bool) -> None:
        """Take what it says; if it has ended and is needed, start it again.

        Nobody waits for that: the workers reach it as soon as they can.
        """
        if self._said:
            return
        pid, status = self._bury()
        if is_needed:
            logger.error("engine_ended pid=%s status=%s", pid, status)
            if time.monotonic() - self._started_at < SHORT_LIFE:
                time.sleep(SHORT_LIFE)
            self._launch()

    def stop(self) -> None:
        """End it and wait for that; it closes its store first."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._bury()
        self.remove_folder()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
        self.remove_folder()

    def remove_folder(self) -> None:
        """Remove the folder of its socket."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _bury(self) -> tuple[int, int]:
        """Return the number and the status of a process that has ended."""
        process, self._process = self._process, None
        assert process is not None  # noqa: S101 - else there was nothing to take
        with process:  # closes its pipes
            return process.pid, process.wait()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - both were asked for
    return pipe
