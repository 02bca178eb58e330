"""What every test may ask for: settings and a server of its own; and which tests are quick."""

import contextlib
import gc
import itertools
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import httpx
import hypothesis
import pytest

from itemwire.settings import PREFIX, Settings
from itemwire.testing import LiveServer, live_server
from tests.certificates import write_authority_of_nobody

hypothesis.settings.register_profile("itemwire", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("itemwire")

# Where an image forbids to keep bytecode, each worker and each server's process would compile all.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

CALL_SECONDS: Final = 60.0

SECRET = "a secret that only the tests know, 48 bytes long"


TESTS = Path(__file__).parent

SERVED: Final = (
    "bench",
    "benchmarks",
    "cli",
    "conformance",
    "deploy",
    "docs",
    "embedding",
    "engines/nats",
    "engines/postgres",
    "engines/redis",
    "engines/sqlite",
    "ops",
    "packaging",
    "scenarios",
    "serving",
    "stress",
    "testing",
)
"""Folders of tests that need a server; elsewhere a test that needs one is marked `server`."""

FORBIDDEN: Final = frozenset(
    {"os.fork", "os.posix_spawn", "os.system", "socket.bind", "sqlite3.connect", "subprocess.Popen"}
)
"""Audit events that no quick test may cause: a server of any kind needs one of them."""

_quick_tests: list[str] = []  # the one that runs just now, if it is quick


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while tests are collected: it is searched for among all found so far.

    Nor is it ever searched for among them afterwards: they live as long as the run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave out what nobody reads: each worker writes three reports a test, word by word."""
    report = yield
    if report.passed:
        report.keywords = {}
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test `server` or `quick`, so that `pytest -m quick` takes less than a minute."""
    for item in items:
        if _is_served(item.path.parent):
            item.add_marker("server")
        elif item.get_closest_marker("server") is None:
            item.add_marker("quick")


@cache
def _is_served(folder: Path) -> bool:
    """Tell once for each folder: there are thousands of tests, and each worker collects all."""
    path = folder.relative_to(TESTS)
    return any(path.is_relative_to(served) for served in SERVED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Guard a quick test, its fixtures included."""
    _quick_tests[:] = [item.nodeid] if item.get_closest_marker("quick") else []
    try:
        return (yield)
    finally:
        _quick_tests.clear()


def _forbid_servers(event: str, _arguments: tuple[object, ...]) -> None:
    """Fail a quick test that starts a server, in the place where it does."""
    if event in FORBIDDEN and _quick_tests:
        test = _quick_tests.pop()  # reporting a failure may need what the test may not use
        pytest.fail(f"{test} is quick and causes {event}: mark it `server`")


sys.addaudithook(_forbid_servers)

# A shell lets what it runs in the background ignore interrupts, `nohup` hang-ups. The servers of
# tests, which have to follow them, would inherit that; a handler that does nothing they do not.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda _number, _frame: None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason how many tests were skipped for it, such as a missing browser."""
    skipped = terminalreporter.getreports("skipped")
    reasons = Counter(one.longrepr[2] for one in skipped if isinstance(one.longrepr, tuple))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")


def pytest_xdist_auto_num_workers() -> int:
    """Run as many at once as keep the processors busy: most tests wait for a server's clock."""
    return 3 * len(os.sched_getaffinity(0)) // 2


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """Keep the settings of anyone who runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(PREFIX):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no TLS client trust the public authorities: no test calls anybody outside.

    To read their certificates takes 30 ms of each HTTP client, and the tests make thousands.
    """
    path = tmp_path_factory.mktemp("authorities") / "nobody.pem"
    write_authority_of_nobody(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="session", autouse=True)
def patient_calls() -> Iterator[None]:
    """Let each HTTP call wait for a busy machine, which takes longer than httpx waits: 5 s."""
    with pytest.MonkeyPatch.context() as patch:
        for step in ("connect", "read", "write", "pool"):
            patch.setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, step, CALL_SECONDS)
        yield


@pytest.fixture(scope="session")
def empty_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Name an empty folder each time: the same again, unless a test has left something in it.

    `tmp_path` makes a new one and looks through all that are there, each time.
    """
    parent = tmp_path_factory.mktemp("own")

    def name() -> Iterator[Path]:
        for number in itertools.count():
            folder = parent / str(number)
            folder.mkdir()
            while folder.is_dir() and not any(folder.iterdir()):  # what is left stays to be seen
                yield folder

    return name()


@pytest.fixture(autouse=True)
def own_folder(request: pytest.FixtureRequest, empty_folders: Iterator[Path]) -> Iterator[None]:
    """Run in a folder without a `.env` file: in `tmp_path`, where a test asks for that."""
    asks = "tmp_path" in request.fixturenames
    folder: Path = request.getfixturevalue("tmp_path") if asks else next(empty_folders)
    with contextlib.chdir(folder):
        yield


@pytest.fixture(scope="session")
def settings(no_settings_from_outside: None) -> Settings:
    """Settings as a newcomer has them: one secret, the rest by default."""
    return Settings(secret=SECRET, _env_file=None)


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[LiveServer]:
    """One server for all tests that change no setting; items and subjects keep them apart."""
    with live_server(settings) as running:
        yield running
