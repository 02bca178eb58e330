"""Tests of keys/files.py: keys that change in a file under a running server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from itemwire_auth.errors import KeyProblem, Unavailable
from itemwire_auth.keys.files import CHECK_SECONDS, FileKeys
from itemwire_auth.plain_text import MAX_BYTES
from itemwire_auth.testing import jwk_set, private_jwk, public_jwk, signing_key
from tests.auth.conftest import KeysFile

A = public_jwk(signing_key("ES256", "a"))
B = public_jwk(signing_key("EdDSA", "b"))
OTHER_A = public_jwk(signing_key("ES256", "other")) | {"kid": "a"}


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def go_on(self) -> None:
        """Advance the clock so far that the next lookup checks the file."""
        self.now += CHECK_SECONDS


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


def test_reads_the_file_again_when_it_changed(keys_file: KeysFile, clock: Clock) -> None:
    """Rotation without a restart: the new key comes, the old one goes (requirement 47)."""
    keys = FileKeys(keys_file(A), clock=clock)
    known = keys.find("a")

    keys_file(A, B)
    clock.go_on()
    assert keys.find("b") is not None
    assert keys.find("a") is known is not None

    keys_file(B)
    clock.go_on()
    assert keys.find("a") is None
    assert keys.find("b") is not None


def test_looks_once_a_second_at_most(
    keys_file: KeysFile, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup is in memory, whatever a stranger's `kid` says (requirement 34)."""
    looked: list[Path] = []
    path = keys_file(A)
    keys = FileKeys(path, clock=clock)
    stat = Path.stat

    def noted(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        looked.append(self)
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", noted)
    for n in range(100):
        assert keys.find(f"../../etc/passwd{n}") is None
    assert looked == []

    clock.go_on()
    for n in range(100):
        assert keys.find(f"made-up-{n}") is None
    assert looked == [path]


def test_a_file_that_is_put_in_place_of_the_old_one_counts(
    keys_file: KeysFile, clock: Clock, tmp_path: Path
) -> None:
    """That is how editors, and the secrets of orchestrators, change a file."""
    path = keys_file(A)
    keys = FileKeys(path, clock=clock)
    status = path.stat()

    other = tmp_path / "other.json"
    other.write_text(jwk_set(A | {"kid": "c"}))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == status.st_size
    clock.go_on()

    assert keys.find("c") is not None
    assert keys.find("a") is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(jwk_set(B)[:-9], id="half"),
        pytest.param('{"keys": []}', id="no-keys"),
        pytest.param(jwk_set(A, OTHER_A), id="kid-twice"),
        pytest.param(jwk_set(private_jwk(signing_key("HS256", "h")), B), id="mixed"),
        pytest.param(None, id="gone"),
    ],
)
def test_a_file_that_will_not_do_keeps_the_old_keys(
    text: str | None, keys_file: KeysFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip of the editor must not lock everybody out; one line says what is wrong."""
    path = keys_file(A)
    keys = FileKeys(path, clock=clock)
    known = keys.find("a")

    path.unlink() if text is None else path.write_text(text)
    for _ in range(3):
        clock.go_on()
        assert keys.find("a") is known is not None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert keys.failures == 1
    assert not asyncio.run(keys.refresh_for(None))
    with pytest.raises(Unavailable, match="cannot be used"):
        asyncio.run(keys.refresh_for("b"))

    keys_file(B)
    clock.go_on()
    assert keys.find("b") is not None
    assert not asyncio.run(keys.refresh_for("c"))
    assert keys.find("a") is None


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _long_name(path: Path) -> None:
    path.symlink_to("x" * 300)  # refused by the system as all else is that it cannot look at


def _below_a_file(path: Path) -> None:
    path.with_name("a-file").touch()
    path.symlink_to("a-file/keys.json")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)


@pytest.mark.parametrize("put", [_loop, _long_name, _below_a_file, _huge, Path.mkdir, os.mkfifo])
def test_whatever_is_in_its_place_is_told_in_one_line(
    put: Callable[[Path], object],
    keys_file: KeysFile,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, and each token is judged by the keys that were there; one that has none comes back."""
    path = keys_file(A)
    keys = FileKeys(path, clock=clock)
    path.unlink()
    put(path)

    for _ in range(3):
        clock.go_on()
        assert keys.find("a") is not None
        with pytest.raises(Unavailable):
            asyncio.run(keys.refresh_for("b"))

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "keys_file_refused keys=1 detail=" in caplog.text


def test_a_file_that_comes_back_is_the_one_that_was_there(
    keys_file: KeysFile, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And its going away a second time is told again."""
    path = keys_file(A)
    keys = FileKeys(path, clock=clock)

    for times in (1, 2):
        path.rename(tmp_path / "aside")
        clock.go_on()
        assert keys.find("a") is not None
        assert len(caplog.records) == times
        (tmp_path / "aside").rename(path)
        clock.go_on()
        assert keys.find("a") is not None


def test_a_pipe_in_place_of_the_file_keeps_nobody_waiting(
    keys_file: KeysFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The event loop would wait for its writer; the file that comes back is read."""
    path = keys_file(A)
    keys = FileKeys(path, clock=clock)
    path.unlink()
    os.mkfifo(path)

    for _ in range(3):
        clock.go_on()
        assert keys.find("a") is not None
    assert ["is no file any more" in one.getMessage() for one in caplog.records] == [True]

    path.unlink()
    keys_file(B)
    clock.go_on()
    assert keys.find("b") is not None


def test_a_bad_file_stops_the_start(keys_file: KeysFile, tmp_path: Path) -> None:
    """At the start there are no old keys to go on with."""
    with pytest.raises(KeyProblem, match="mixes"):
        FileKeys(keys_file(private_jwk(signing_key("HS256", "h")), A))
    with pytest.raises(KeyProblem, match="cannot read"):
        FileKeys(tmp_path / "absent.json")


def test_takes_keys_of_the_allowed_algorithms_only(keys_file: KeysFile) -> None:
    """What an issuer does not sign with cannot verify as its signature."""
    path = keys_file(A, B)

    assert FileKeys(path, ["EdDSA", "ES256"]).find("a") is not None
    assert FileKeys(path, ["EdDSA"]).find("a") is None
    with pytest.raises(KeyProblem, match="none of the allowed algorithms"):
        FileKeys(keys_file(A), ["EdDSA"])


def test_the_allowed_algorithm_is_that_of_a_key_without_one(keys_file: KeysFile) -> None:
    """An RSA key without `alg` is for RS256, unless the issuer is known to use another."""
    jwk = public_jwk(signing_key("PS256", "r"))
    del jwk["alg"]
    path = keys_file(jwk)
    by_default, narrowed = FileKeys(path).find("r"), FileKeys(path, ["PS256"]).find("r")

    assert by_default is not None
    assert by_default.algorithm == "RS256"
    assert narrowed is not None
    assert narrowed.algorithm == "PS256"
