"""Runs tests on a copy of the project into which one fault at a time is put."""

from __future__ import annotations

import compileall
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from tests.mutants.operators import Mutation
from tests.mutants.scope import mirrors_of

MIN_SECONDS: Final = 10
SLOWER: Final = 5  # times as long as without a fault
CLEAN_SECONDS: Final = 300
LEFT_OUT: Final = shutil.ignore_patterns(
    ".*cache", ".git", ".hypothesis", ".venv", "__pycache__", "node_modules"
)
PYTEST: Final = (
    *("-x", "-q", "-n0", "--assert=plain", "--hypothesis-seed=0"),
    *("-p", "no:cacheprovider"),
)


class NotClean(Exception):
    """The tests of a file fail, or there are none, before a fault is put into it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the project in a temporary folder; the work tree is never touched."""

    root: Path
    clean_seconds: dict[tuple[str, ...], float]  # by tests; several copies may share it

    @classmethod
    def of(cls, project: Path, folder: Path, clean_seconds: dict[tuple[str, ...], float]) -> Copy:
        """Copy the project into a folder that is not there yet."""
        shutil.copytree(project, folder, ignore=LEFT_OUT)
        # By their hash: a file that changes twice in a second would else run as it was before.
        for part in ("api", "auth", "tests"):
            compileall.compile_dir(
                folder / part, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH
            )
        return cls(folder, clean_seconds)

    def is_killed(self, mutation: Mutation) -> bool:
        """Return whether a test fails, or nothing ends in time, with this fault."""
        tests = mirrors_of(self.root, mutation.path)
        limit = max(MIN_SECONDS, SLOWER * self._measure(mutation.path, tests))
        file = self.root / mutation.path
        source = file.read_bytes()
        file.write_bytes(mutation.applied(source))
        try:
            return not self._passes(tests, limit)
        finally:
            file.write_bytes(source)

    def _measure(self, path: str, tests: list[str]) -> float:
        """Return how long the tests take without a fault; raise NotClean if they do not pass."""
        if not tests:
            raise NotClean(f"no test mirrors {path}: see tests/mutants/scope.py")
        seconds = self.clean_seconds.get(tuple(tests))
        if seconds is None:
            began = time.monotonic()
            if not self._passes(tests, CLEAN_SECONDS):
                raise NotClean(f"the tests of {path} fail without a fault: {' '.join(tests)}")
            seconds = self.clean_seconds[tuple(tests)] = time.monotonic() - began
        return seconds

    def _passes(self, tests: list[str], seconds: float) -> bool:
        """Run tests in a process group of their own, so that nothing they start outlives them."""
        paths = os.pathsep.join(str(self.root / one) for one in ("api", "auth", "."))
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *PYTEST, *tests],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a run: only the group that it was started as."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
