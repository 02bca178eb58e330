"""What every test may ask for: settings of its own, a server of its own, tokens for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from itemwire.settings import PREFIX, Settings
from itemwire.testing import LiveServer, live_server

hypothesis.settings.register_profile("itemwire", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("itemwire")

SECRET = "a secret that only the tests know, 48 bytes long"


def pytest_xdist_auto_num_workers() -> int:
    """Run as many at once as keep the processors busy: most tests wait for a server's clock."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(PREFIX):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in a folder without a `.env` file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def settings(no_settings_from_outside: None) -> Settings:
    """Settings as a newcomer has them: one secret, the rest by default."""
    return Settings(secret=SECRET, _env_file=None)


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[LiveServer]:
    """One server for all tests that change no setting; items and subjects keep them apart."""
    with live_server(settings) as running:
        yield running
