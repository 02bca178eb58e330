"""Runs tests on a copy of the project into which one fault at a time is put."""

from __future__ import annotations

import compileall
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

import pytest

from tests.mutants.operators import Mutation
from tests.mutants.scope import mirrors_of

MIN_SECONDS: Final = 60  # a machine that is busy is no fault that was found
SLOWER: Final = 5  # times as long as without a fault
CLEAN_SECONDS: Final = 300
LEFT_OUT: Final = shutil.ignore_patterns(
    ".*cache", ".git", ".hypothesis", ".venv", "__pycache__", "node_modules"
)
PYTEST: Final = (
    *("-x", "-q", "-n0", "--assert=plain", "--hypothesis-seed=0"),
    *("-p", "no:cacheprovider"),
)


OWN_PACKAGES: Final = frozenset({"itemwire", "itemwire_auth", "tests"})

# Each run is a fork of a process that has imported what all tests need: half the time of a run.
_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        *("anyio", "fastapi", "httpx", "hypothesis.stateful", "jwt", "msgspec"),
        *("prometheus_client", "pydantic_settings", "pytest", "uvicorn", "websockets.sync.client"),
    ]
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
        process = _PROCESSES.Process(target=_run, args=(str(self.root), [*PYTEST, *tests]))
        process.start()
        process.join(seconds)
        is_over = process.exitcode is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        return is_over and process.exitcode == 0


def _run(root: str, arguments: list[str]) -> None:
    """Run pytest on a copy, with nothing of the project that this process has loaded."""
    os.setsid()
    for name in [one for one in sys.modules if one.partition(".")[0] in OWN_PACKAGES]:
        del sys.modules[name]
    places = [f"{root}/api", f"{root}/auth", root]
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path[:0] = places
    os.chdir(root)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os._exit(pytest.main(arguments))
