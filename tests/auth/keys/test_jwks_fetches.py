"""Tests of keys/jwks.py: when an issuer is asked, by whom, and what does not make it asked."""

from __future__ import annotations

import asyncio
import logging

import pytest

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.errors import Unavailable
from itemwire_auth.keys.jwks import kept_fresh
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.testing import TokenFactory
from tests.auth.conftest import verifier_of
from tests.auth.key_server import Answer, KeyServer
from tests.auth.keys.fetched_keys import A, B, Clock, keys_of, refreshed

pytestmark = pytest.mark.server


def test_an_issuer_that_gives_no_answer_is_no_verdict(published: KeyServer) -> None:
    """A key that it would have brought may be the one that is asked for (requirement 134)."""
    clock = Clock()
    good, published.answer = published.answer, Answer(status=503)
    keys = keys_of(published, clock, cooldown=30)

    def is_there(kid: str | None) -> bool:
        return asyncio.run(keys.refresh_for(kid))

    for kid in ("a", "made-up", None):  # the first fetches, the others are within the cooldown
        with pytest.raises(Unavailable, match="no answer"):
            is_there(kid)
    assert (keys.has_keys, len(published.paths)) == (False, 1)

    clock.now = 30
    published.answer = good
    assert is_there("a")
    assert keys.has_keys
    assert not is_there("made-up")  # the issuer has said which keys there are

    clock.now = 60
    published.answer = Answer(status=503)
    with pytest.raises(Unavailable):
        is_there("new")
    assert keys.find("a") is not None  # who comes with a known key notices nothing
    assert not is_there(None)  # one that names none of the keys is at fault itself


def test_a_flood_of_unknown_names_fetches_once_in_a_while(published: KeyServer) -> None:
    """A stranger makes up as many names as he likes (requirements 34 and 46)."""
    clock = Clock()
    keys = keys_of(published, clock, cooldown=30)

    async def flood() -> list[bool]:
        return [await keys.refresh_for(f"made-up-{n}") for n in range(100)]

    assert not any(asyncio.run(flood()))
    assert len(published.paths) == 1
    clock.now = 29.9
    assert not any(asyncio.run(flood()))
    assert len(published.paths) == 1

    published.publish(A, B)
    clock.now = 30
    assert asyncio.run(keys.refresh_for("b"))
    assert not any(asyncio.run(flood()))
    assert len(published.paths) == 2


def test_a_fetch_that_nobody_asked_for_does_not_delay_a_new_key(published: KeyServer) -> None:
    """A key that is published a second after the regular fetch works at once."""
    keys = keys_of(published, cooldown=30)
    refreshed(keys)
    published.publish(A, B)

    assert asyncio.run(keys.refresh_for("b"))


def test_a_token_without_kid_fetches_only_while_there_is_no_key(published: KeyServer) -> None:
    """With keys there it is the token that should have said which."""
    clock = Clock()
    keys = keys_of(published, clock, cooldown=30)

    assert asyncio.run(keys.refresh_for(None))
    clock.now = 30
    assert not asyncio.run(keys.refresh_for(None))
    assert len(published.paths) == 1


def test_all_who_ask_at_once_wait_for_one_fetch(published: KeyServer) -> None:
    """A rotation under a thousand handshakes is one request (single flight)."""
    keys = keys_of(published)
    published.publish(A, B)
    published.open.clear()

    async def scene() -> list[bool]:
        waiting = [asyncio.create_task(keys.refresh_for("b")) for _ in range(50)]
        await asyncio.to_thread(published.wait_for, 1)
        published.open.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(scene()) == [True] * 50
    assert len(published.paths) == 1


def test_one_who_gives_up_does_not_end_it_for_the_others(published: KeyServer) -> None:
    """The first client to ask may close its socket meanwhile."""
    keys = keys_of(published)
    published.open.clear()

    async def scene() -> bool:
        first, second = (asyncio.create_task(keys.refresh_for("a")) for _ in range(2))
        await asyncio.to_thread(published.wait_for, 1)
        first.cancel()
        await asyncio.wait([first])
        published.open.set()
        return await second

    assert asyncio.run(scene())
    assert len(published.paths) == 1


def test_is_fetched_at_the_start_and_kept_fresh(published: KeyServer) -> None:
    """A key that is taken out stops working without anybody asking; no task is left behind."""
    published.publish(A, B)
    keys = keys_of(published, refresh=0.001)

    async def scene() -> int:
        async with kept_fresh([keys]):
            assert keys.find("a") is not None
            published.publish(B)
            # The second request from now begins when the answer to the first was taken in.
            await asyncio.to_thread(published.wait_for, len(published.paths) + 2)
            assert keys.find("a") is None
            assert keys.find("b") is not None
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1


def test_an_authenticator_that_runs_has_fetched_its_keys(published: KeyServer) -> None:
    """Whoever writes an application of its own enters it in the lifespan."""
    published.publish(A)
    keys = keys_of(published)
    authenticator = Authenticator(
        verifier_of(TokenFactory(A)), OriginPolicy([]), fetched_keys=(keys,)
    )

    async def scene() -> None:
        assert keys.find("a") is None
        async with authenticator.running():
            assert keys.find("a") is not None

    asyncio.run(scene())


def test_a_start_without_the_issuer_is_a_warning(
    published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The server comes up and finds the keys when they are there, sooner than usual."""
    good, published.answer = published.answer, Answer(status=503)
    keys = keys_of(published, refresh=3600, cooldown=0.001)

    async def scene() -> None:
        async with kept_fresh([keys]):
            assert keys.find("a") is None
            assert [record.levelno for record in caplog.records] == [logging.WARNING]
            published.answer = good
            await asyncio.to_thread(published.wait_for, len(published.paths) + 1)
            assert await keys.refresh_for("a")

    asyncio.run(scene())
    assert keys.find("a") is not None


def test_a_stop_does_not_wait_for_an_answer(published: KeyServer) -> None:
    """A server that shuts down gives up what it was fetching."""
    keys = keys_of(published)

    async def scene() -> int:
        async with kept_fresh([keys]):
            published.open.clear()
            waiting = asyncio.create_task(keys.refresh_for("b"))
            await asyncio.to_thread(published.wait_for, 2)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1


def test_a_fault_of_ours_is_not_the_last_fetch(
    published: KeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the next one a removed key would work for ever."""
    keys = keys_of(published, refresh=0.001)

    async def scene() -> None:
        async with kept_fresh([keys]):
            crashed = asyncio.Event()

            def crash(_body: bytes) -> None:
                crashed.set()
                raise ZeroDivisionError("a fault of ours")

            with monkeypatch.context() as patch:
                patch.setattr(keys, "_usable", crash)
                published.publish(A, B)
                await asyncio.wait_for(crashed.wait(), 5)
            await asyncio.to_thread(published.wait_for, len(published.paths) + 2)

    asyncio.run(scene())
    assert "a fault of ours" in caplog.text
    assert keys.find("b") is not None
