"""The NATS engine with files of credentials and nkeys: taken, refused, wrong, and replaced."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import nkeys
import pytest

from itemwire.engines import open_engine
from itemwire.engines.nats.target import NatsTarget
from itemwire.publisher import Publisher
from tests.certificates import localhost_certificate
from tests.conftest import SECRET
from tests.engines.nats.test_start import saying
from tests.engines.redis.test_start import refusal_of
from tests.engines.watched import node, play
from tests.fakes import BOUNDS
from tests.nats_keys import Key, Realm, allowing, shows
from tests.nats_server import running_nats

USER: Final = Key.new()
STRANGER: Final = Key.new()
REALM: Final = Realm()
WRONG_SUM: Final = USER.seed[:-2] + ("AA" if USER.seed[-2:] != "AA" else "EA")
KINDS: Final = {
    "nkey": (allowing(USER), USER.seed + "\n", STRANGER.seed),
    "credentials": (REALM.config, REALM.credentials(USER), Realm().credentials(STRANGER)),
}


@pytest.fixture(autouse=True)
def _no_seed_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not shows(caplog.text, USER.seed)
    assert not shows(caplog.text, STRANGER.seed)


async def publishes(url: str) -> None:
    """Store and hear a message."""
    async with node(url) as watched:
        await watched.publish("hello")
        await watched.until(lambda: len(watched.log) == 1)


@contextmanager
def running(folder: Path, kind: str, content: str | None = None) -> Iterator[str]:
    """Run a server that knows the user by such a file, and give the URL that names one."""
    config, right, _ = KINDS[kind]
    file = folder / "a file"
    file.write_text(right if content is None else content)
    with running_nats(folder, config) as server:
        yield f"{server.url}?{kind}={file}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_comes_in_with_its_file(kind: str, tmp_path: Path) -> None:
    """Also where a publisher without a server names it."""
    with running(tmp_path, kind) as url:
        play(lambda: publishes(url))
        with Publisher(engine_url=url) as publisher:
            assert publisher.publish("greetings", "hello").offset == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_that_the_server_does_not_know_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    """What it lacks, and nothing of its key."""
    with running(tmp_path, kind, KINDS[kind][2]) as url:
        problem = refusal_of(open_engine(url, BOUNDS))

    assert problem.startswith("cannot use nats://127.0.0.1:")
    assert "authorization violation" in problem.lower()
    assert "\n" not in problem
    assert not shows(problem, STRANGER.seed)


@pytest.mark.parametrize(
    ("expires", "is_taken"), [(3600, True), (-3600, False)], ids=["in-an-hour", "an-hour-ago"]
)
def test_a_jwt_is_good_until_it_ends(expires: int, is_taken: bool, tmp_path: Path) -> None:
    """The server decides that, by its clock."""
    credentials = REALM.credentials(USER, int(time.time()) + expires)
    with running(tmp_path, "credentials", credentials) as url:
        if is_taken:
            play(lambda: publishes(url))
        else:
            assert "authorization violation" in refusal_of(open_engine(url, BOUNDS)).lower()


def test_a_key_is_shown_where_others_come_in_without(tmp_path: Path) -> None:
    """Such a server asks for nothing, and who shows nothing is a guest, who may do less."""
    guest = f"{{ nkey: {STRANGER.public}, permissions: {{ publish: 'nothing' }} }}"
    users = f"authorization: {{ users: [{{ nkey: {USER.public} }}, {guest}] }}"
    file = tmp_path / "user.nk"
    file.write_text(USER.seed)
    with running_nats(tmp_path, f"no_auth_user: {STRANGER.public}\n{users}") as server:
        play(lambda: publishes(f"{server.url}?nkey={file}"))
        refusal_of(open_engine(server.url, BOUNDS))


def test_a_file_that_was_replaced_is_taken_at_the_next_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong with one that is half written is logged, and it is read again."""
    file = tmp_path / "user.nk"
    file.write_text(USER.seed)

    with running_nats(tmp_path, allowing(USER)) as server:

        async def scene() -> None:
            async with node(f"{server.url}?nkey={file}") as watched:
                assert (await watched.publish("before")).offset == 1
                file.write_text(STRANGER.seed[:20])
                server.reload(allowing(STRANGER))
                await watched.until(lambda: "the file of nkey has no seed" in caplog.text)
                assert not watched.engine.is_available
                file.write_text(STRANGER.seed)
                assert (await watched.publish_at_last("after")).offset == 2

        play(scene)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """A start would wait until somebody writes to it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="nkey cannot be read: it names no file"):
        open_engine(f"nats://localhost?nkey={pipe}", BOUNDS)


def bad_files() -> dict[str, tuple[str, str, str]]:
    """Give what may be in a file, by the option that names it, and what is said of that."""
    good = REALM.credentials(USER)
    account = Key.new(nkeys.PREFIX_BYTE_ACCOUNT).seed
    no_seed = "has no seed of a user"
    return {
        "empty": ("nkey", "", no_seed),
        "public": ("nkey", USER.public, no_seed),
        "account": ("nkey", account, no_seed),
        "cut": ("nkey", USER.seed[:-1], no_seed),
        "longer": ("nkey", USER.seed + "A", no_seed),
        "other-letters": ("nkey", USER.seed[:-1] + "1", no_seed),
        "other-prefix": ("nkey", "SUZ" + USER.seed[3:], no_seed),
        "two-bytes-a-letter": ("nkey", "\0".join(USER.seed), no_seed),
        "wrong-checksum": ("nkey", WRONG_SUM, "has a wrong checksum"),
        "behind-the-bound": ("nkey", "\n" * 65_536 + USER.seed, no_seed),
        "credentials-empty": ("credentials", "", "has no part NATS USER JWT"),
        "credentials-seed": ("credentials", USER.seed, "has no part NATS USER JWT"),
        "credentials-no-jwt": ("credentials", good.replace(".", ""), "has no part NATS USER JWT"),
        "credentials-half": ("credentials", good[: good.index("\n***")], no_seed),
        "credentials-cut": ("credentials", good.replace(USER.seed, ""), no_seed),
        "credentials-sum": (
            "credentials",
            good.replace(USER.seed, WRONG_SUM),
            "has a wrong checksum",
        ),
    }


@pytest.mark.parametrize("name", bad_files())
def test_a_file_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    """One line says what it lacks, and shows nothing of it."""
    option, content, why = bad_files()[name]
    file = tmp_path / "wrong"
    file.write_text(content)

    with pytest.raises(ValueError, match=why) as refused:
        open_engine(f"nats://localhost?{option}={file}", BOUNDS)

    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("ITEMWIRE_ENGINE_URL")
    assert not shows(str(refused.value), USER.seed)


@pytest.mark.parametrize(
    "edit",
    [str, lambda text: "\ufeff" + text.replace("\n", "\r\n")],
    ids=["as-it-is", "on-windows"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_may_have_been_edited_elsewhere(
    kind: str, edit: Callable[[str], str], tmp_path: Path
) -> None:
    """The twin: line ends of another system are none of the seed."""
    file = tmp_path / "right"
    file.write_bytes(edit(KINDS[kind][1]).encode())

    keys = NatsTarget.of(f"nats://localhost?{kind}={file}").keys

    assert keys is not None
    assert keys.read().public_key == USER.public
    assert not shows(repr(keys.read()), USER.seed)


@pytest.mark.parametrize(
    "path",
    [USER.seed, "", ".", "%00", "missing.nk"],
    ids=["seed", "empty", "folder", "null", "missing"],
)
@pytest.mark.parametrize("option", ["nkey", "credentials"])
def test_a_path_of_no_file_is_refused(option: str, path: str) -> None:
    """It is not shown: somebody may have put the seed itself there."""
    with pytest.raises(ValueError, match=f"{option} cannot be read") as refused:
        open_engine(f"nats://localhost?{option}={path}", BOUNDS)

    assert "\n" not in str(refused.value)
    assert not shows(str(refused.value), USER.seed)


@pytest.mark.parametrize(
    "url",
    [
        "nats://me:hunter2@localhost?nkey={file}",
        "nats://hunter2@localhost?credentials={file}",
        "nats://localhost?nkey={file}&credentials={file}",
    ],
)
def test_a_node_is_one_user(url: str, tmp_path: Path) -> None:
    """With a password and a key it would not be told which of them counts."""
    with pytest.raises(ValueError, match="it has one of") as refused:
        open_engine(url.format(file=tmp_path / "user.nk"), BOUNDS)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_signs_nothing_for_a_server_that_does_not_encrypt(kind: str, tmp_path: Path) -> None:
    """Who stands in between would pass on the question of the real server, and be the user."""
    file = tmp_path / "a file"
    file.write_text(KINDS[kind][1])
    info = b'INFO {"version":"2.12.0","headers":true,"auth_required":true,"nonce":"abc"}'
    with saying(info) as (port, told):
        problem = refusal_of(open_engine(f"tls://127.0.0.1:{port}?{kind}={file}", BOUNDS))

    assert "does not encrypt" in problem
    assert b"sig" not in b"".join(told)


@pytest.mark.parametrize("kind", KINDS)
def test_signs_for_a_server_that_encrypts(kind: str, tmp_path: Path) -> None:
    """The twin."""
    certificate = tmp_path / "localhost.pem"
    certificate.write_bytes(localhost_certificate())
    file = tmp_path / "a file"
    file.write_text(KINDS[kind][1])
    tls = f"tls {{ cert_file: '{certificate}', key_file: '{certificate}' }}"
    with running_nats(tmp_path, f"{KINDS[kind][0]}\n{tls}") as server:
        url = f"tls://localhost:{server.port}?tls_ca={certificate}&{kind}={file}"
        play(lambda: publishes(url))


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("content", [None, WRONG_SUM], ids=["missing", "malformed"])
def test_a_start_with_a_wrong_file_ends_with_status_78(
    content: str | None, workers: str, tmp_path: Path
) -> None:
    """A supervisor leaves that status out: nothing is right again by itself."""
    file = tmp_path / "user.nk"
    if content is not None:
        file.write_text(content)
    own = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    own |= {"ITEMWIRE_SECRET": SECRET, "ITEMWIRE_WORKERS": workers}
    own |= {"ITEMWIRE_ENGINE_URL": f"nats://127.0.0.1:9?nkey={file}"}
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    ended = subprocess.run(
        command, env=own, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 78
    assert "nkey" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not shows(ended.stdout + ended.stderr, WRONG_SUM)
