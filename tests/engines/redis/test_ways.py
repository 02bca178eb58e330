"""Other ways to a Redis or Valkey server: by its own scheme, by a file, and by sentinels."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from itemwire.engines import open_engine
from tests.engines.redis.test_start import SECRET, refusal_of
from tests.engines.watched import node, play
from tests.fakes import BOUNDS
from tests.redis_server import RedisServer, Sentinel, running_redis, running_sentinels, tls_url
from tests.server_process import free_port

SERVICE: Final = "live"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder whose name is short: a path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="iw") as name:
        yield Path(name)


@contextlib.contextmanager
def by_its_own_name(folder: Path) -> Iterator[list[str]]:
    """Name a server as what it is."""
    with running_redis(folder) as server:
        yield [server.url, server.url.replace("redis:", "valkey:")]


@contextlib.contextmanager
def by_its_own_name_with_tls(folder: Path) -> Iterator[list[str]]:
    """Name one behind TLS."""
    with tls_url(folder) as url:
        yield [url, url.replace("rediss:", "valkeys:")]


@contextlib.contextmanager
def by_a_file(folder: Path) -> Iterator[list[str]]:
    """Name the file of a server on this machine, beside its port."""
    path = folder / "redis.sock"
    with running_redis(folder, "--unixsocket", str(path)) as server:
        yield [server.url, f"unix://{path}?db=0", f"redis+unix://{path}"]


@contextlib.contextmanager
def by_a_file_with_a_password(folder: Path) -> Iterator[list[str]]:
    """The same, where the server wants one."""
    path = folder / "redis.sock"
    with running_redis(folder, "--unixsocket", str(path)) as server:
        server.ask("CONFIG", "SET", "requirepass", SECRET)
        yield [f"redis://:{SECRET}@127.0.0.1:{server.port}", f"unix://:{SECRET}@{path}"]


@contextlib.contextmanager
def by_sentinels(folder: Path) -> Iterator[list[str]]:
    """Name the sentinels of a service, one of which is not there."""
    with replicated(folder) as (primary, _, sentinels):
        yield [primary.url, url_of(sentinels, extra=f"127.0.0.1:{free_port()},")]


WAYS: Final = (
    by_its_own_name,
    by_its_own_name_with_tls,
    by_a_file,
    by_a_file_with_a_password,
    by_sentinels,
)


@contextlib.contextmanager
def replicated(folder: Path) -> Iterator[tuple[RedisServer, RedisServer, list[Sentinel]]]:
    """Run a primary with a replica, and three sentinels that know them."""
    with contextlib.ExitStack() as stack:
        primary, replica = (stack.enter_context(running_redis(_in(folder, n))) for n in "ab")
        replica.follow(primary)
        sentinels = stack.enter_context(running_sentinels(_in(folder, "s"), primary, SERVICE))
        yield primary, replica, sentinels


def _in(folder: Path, name: str) -> Path:
    below = folder / name
    below.mkdir()
    return below


def url_of(sentinels: list[Sentinel], *, extra: str = "", service: str = SERVICE) -> str:
    """Write the URL that names sentinels."""
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
    return f"redis+sentinel://{extra}{hosts}/{service}/0"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nodes_meet_whichever_way_they_come(
    folder: Path, way: contextlib.AbstractContextManager[list[str]]
) -> None:
    """It is the same server, and they share its channels."""

    async def scene(urls: list[str]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(node(url)) for url in urls]
            said = [await one.publish(f"of {number}") for number, one in enumerate(nodes)]
            for one in nodes:
                await one.until(lambda one=one: len(one.texts) == len(urls))  # type: ignore[misc] # a default is how a loop's lambda keeps its value
                one.check()

        assert [one.offset for one in said] == list(range(1, len(urls) + 1))

    with way(folder) as urls:  # type: ignore[operator] # a function that makes one
        play(lambda: scene(urls))


@pytest.mark.parametrize("how", ["killed", "told"])
def test_follows_the_sentinels_to_another_server(folder: Path, how: str) -> None:
    """Whether the primary is gone or is a replica by now (requirement 141)."""
    with replicated(folder) as (primary, replica, sentinels):

        async def scene() -> None:
            async with node(url_of(sentinels)) as here, node(url_of(sentinels[::-1])) as there:
                before = await here.publish("before")
                await there.until(lambda: there.texts == ["before"])
                replica.catch_up(primary)
                if how == "killed":
                    primary.kill()
                else:
                    sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
                    while b"role:slave" not in primary.ask("INFO", "replication"):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)  # it is told after seconds
                after = await here.publish_at_last("after")
                for one in (here, there):  # who was not there yet when it came is told of the loss
                    await one.until(lambda one=one: "after" in one.texts or one.losses)  # type: ignore[misc] # as above
                await here.publish("last")
                for one in (here, there):
                    await one.until(lambda one=one: "last" in one.texts)  # type: ignore[misc] # as above
                    one.check()

            assert after.epoch != before.epoch

        play(scene)
        assert b"role:master" in replica.ask("INFO", "replication")


def test_a_service_that_no_sentinel_knows_is_one_clear_line(folder: Path) -> None:
    """As a server that is not there; nobody is waited for in vain."""
    with replicated(folder) as (_, _, sentinels):
        url = url_of(sentinels, service="other", extra=f"me:{SECRET}@")
        problem = refusal_of(open_engine(url, BOUNDS))

    assert problem.startswith("cannot use redis+sentinel://***@127.0.0.1:")
    assert "no sentinel names a server of 'other': the sentinel knows no such service" in problem
    assert SECRET not in problem


def test_sentinels_that_are_not_there_are_one_clear_line() -> None:
    """Each of them is asked, and the password is not shown."""
    where = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    problem = refusal_of(open_engine(f"redis+sentinel://me:{SECRET}@{where}/live", BOUNDS))

    assert "no sentinel names a server of 'live': " in problem
    assert "\n" not in problem
    assert SECRET not in problem


@pytest.mark.parametrize(
    ("url", "form"),
    [
        (f"redis+sentinel://me:{SECRET}@host", "sentinel-2:26379/service/0"),
        (f"redis+sentinel://me:{SECRET}@host/", "sentinel-2:26379/service/0"),
        (f"redis+sentinel://me:{SECRET}@,/live", "sentinel-2:26379/service/0"),
        (f"redis+sentinel://me:{SECRET}@host/live/x", "sentinel-2:26379/service/0"),
        (f"redis+sentinel://me:{SECRET}@host:port/live", "sentinel-2:26379/service/0"),
        (f"redis+sentinel://me:{SECRET}@host/live?nonsense=1", "sentinel-2:26379/service/0"),
        (f"unix://me:{SECRET}@", "unix:///run/redis.sock"),
        (f"unix://me:{SECRET}@host/run/redis.sock", "unix:///run/redis.sock"),
        (f"redis+unix://me:{SECRET}@/run/s?nonsense=1", "redis+unix:///run/redis.sock"),
        (f"valkey://me:{SECRET}@host/orders", "valkey://user:password@host"),
        (f"valkeys://me:{SECRET}@host:port", "valkeys://user:password@host"),
    ],
)
def test_refuses_what_is_not_a_url_of_its_way(url: str, form: str) -> None:
    """With what to write in its place, and without the password."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL is not a URL as") as refused:
        open_engine(url, BOUNDS)

    assert form in str(refused.value)
    assert SECRET not in str(refused.value)
