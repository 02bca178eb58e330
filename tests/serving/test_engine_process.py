"""The engine process as its supervisor sees it."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from itemwire.serving import engine_process
from itemwire.serving.engine_process import EngineProcess
from itemwire.settings import Settings

pytestmark = pytest.mark.server


@pytest.fixture
def process(settings: Settings) -> Iterator[EngineProcess]:
    """Start one, and end it with the test."""
    process = EngineProcess.of(settings)
    assert process is not None
    try:
        assert process.start()
        yield process
    finally:
        process.stop()


def folder_of(process: EngineProcess) -> Path:
    """Give the folder of its socket."""
    return Path(process.url.removeprefix("itemwire+unix://")).parent


def test_an_engine_that_servers_share_needs_none(settings: Settings) -> None:
    """Workers ask it themselves."""
    shared = settings.model_copy(update={"engine_url": "redis://127.0.0.1/0"})

    assert EngineProcess.of(shared) is None


def test_it_stands_before_an_engine_that_servers_share_where_that_is_asked_for(
    settings: Settings,
) -> None:
    """Workers find it as they find one that has everything in its memory."""
    given = {"engine_url": "redis://127.0.0.1/0", "share_engine": True}
    process = EngineProcess.of(settings.model_copy(update=given))
    assert process is not None
    process.remove_folder()

    assert process.url.startswith("itemwire+unix:///")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///x.db"])
def test_to_ask_for_what_is_so_anyway_is_refused(settings: Settings, url: str) -> None:
    """It would look as if it could be left out."""
    with pytest.raises(ValueError, match="share theirs anyway"):
        EngineProcess.of(settings.model_copy(update={"engine_url": url, "share_engine": True}))


def test_its_socket_is_where_only_this_user_comes(process: EngineProcess) -> None:
    """Whoever speaks to it may do all that a server may; in the end nothing is left."""
    folder = folder_of(process)
    mode = folder.stat().st_mode & 0o777
    process.stop()

    assert mode == 0o700
    assert not folder.exists()


def test_one_that_has_died_is_started_again(
    process: EngineProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """With a line that says how it ended; at the same place."""
    (before,) = process.sentinels
    assert process._process is not None
    process._process.send_signal(signal.SIGKILL)
    assert wait([before], 20) == [before]
    with caplog.at_level(logging.ERROR):
        process.look_after(is_needed=True)
    (after,) = process.sentinels
    assert wait([after], 20) == [after]
    process.look_after(is_needed=True)  # it says that it serves: that is no end

    assert caplog.text.count("engine_ended") == 1
    assert "status=-9" in caplog.text
    assert process.sentinels == [after]


def test_one_that_is_not_needed_any_more_stays_ended(process: EngineProcess) -> None:
    """A terminal signals it with the workers."""
    (sentinel,) = process.sentinels
    process.kill()
    assert wait([sentinel], 20) == [sentinel]
    process.look_after(is_needed=False)

    assert process.sentinels == []


def test_one_that_cannot_start_says_so(settings: Settings, tmp_path: Path) -> None:
    """Its file was taken by another server in between."""
    url = f"sqlite:///{tmp_path / 'taken.db'}"
    ours = settings.model_copy(update={"engine_url": url})
    first, second = EngineProcess.of(ours), EngineProcess.of(ours)
    assert first is not None
    assert second is not None
    try:
        assert first.start()
        assert not second.start()
    finally:
        first.stop()
        second.stop()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "sqlite:///"])
def test_an_engine_that_cannot_be_used_is_said_before_anything_starts(
    settings: Settings, url: str
) -> None:
    """As without workers: in one line."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL"):
        EngineProcess.of(settings.model_copy(update={"engine_url": url}))


@pytest.mark.parametrize(
    ("length", "told"), [(10, "no folder"), (120, "too long")], ids=["absent", "long"]
)
def test_a_place_where_no_socket_can_be_is_said(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    told: str,
) -> None:
    """A path of a socket has room for some hundred bytes."""
    place = tmp_path / ("x" * length)
    if length > engine_process.MOST_PATH:
        place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(ValueError, match=told):
        EngineProcess.of(settings)

    assert not place.exists() or list(place.iterdir()) == []
