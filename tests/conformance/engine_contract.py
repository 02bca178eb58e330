"""What every engine promises, as tests: subclass `EngineContract` and give it your engine.

class TestMyEngine(EngineContract):
    def open_engine(self, bounds: ChannelBounds) -> Engine:
        return MyEngine("my://localhost", bounds)
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TypeVar

import msgspec
import pytest

from itemwire.engines.base import (
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.messages import (
    META_BYTES,
    Draft,
    Extras,
    Payload,
    Position,
    Publication,
)
from tests.conformance.asked_engine import BOUNDS, Asked, OwnBounds
from tests.conformance.on_one_engine import OnOneEngine

T = TypeVar("T")


class EngineContract(OnOneEngine):
    """The promises of `itemwire.engines.base.Engine`, one test each."""

    def test_offsets_count_from_one_without_holes(self) -> None:
        """A hole is how a subscriber knows that it missed something."""

        async def scene(asked: Asked) -> list[Position]:
            return [await asked.publish() for _ in range(5)]

        positions = self.on(scene)

        assert [one.offset for one in positions] == [1, 2, 3, 4, 5]
        assert len({one.epoch for one in positions}) == 1

    def test_answers_at_once_if_it_says_so(self) -> None:
        """Nothing is then counted as unanswered, so nothing may be."""

        async def scene(asked: Asked) -> bool:
            answers: list[Position | EngineError] = []
            asked.engine.publish(asked.channel, Draft("42", "alice", 1.5, "x"), answers.append)
            return bool(answers) or not asked.engine.answers_at_once

        assert self.on(scene)

    def test_publishes_in_one_call_as_it_does_by_callback(self) -> None:
        """An engine that answers at once is asked so: the same order, keys and deliveries."""

        async def scene(asked: Asked) -> tuple[list[object], list[Publication], History]:
            async def publish(data: Payload, key: str | None = None) -> object:
                if not asked.engine.answers_at_once:
                    return await asked.publish(data, key)
                return asked.engine.publish_now(asked.channel, Draft("42", "alice", 1.5, data, key))

            await asked.subscribe()
            answers = [
                await publish("one", "k"),
                await asked.publish("two"),
                await publish(b"\x00"),
                await publish("one again", "k"),
                await asked.publish("and again", "k"),
                await publish("three"),
            ]
            return answers, await asked.hear(4), await asked.read(Span(limit=10))

        answers, heard, history = self.on(scene)

        epoch = history.position.epoch
        assert answers == [Position(epoch, offset) for offset in (1, 2, 3, 1, 1, 4)]
        assert [one.data for one in heard] == ["one", "two", b"\x00", "three"]
        assert heard == history.publications

    def test_delivers_in_the_order_of_the_offsets(self) -> None:
        """There is one order per channel, even with concurrent publishers."""

        async def scene(asked: Asked) -> list[Publication]:
            await asked.subscribe()
            async with asyncio.TaskGroup() as publishers:
                for number in range(30):
                    publishers.create_task(asked.publish(str(number)))
            return await asked.hear(30)

        heard = self.on(scene)

        assert [one.offset for one in heard] == list(range(1, 31))
        assert {one.data for one in heard} == {str(number) for number in range(30)}

    def test_delivers_what_it_stores_as_it_was_published(self) -> None:
        """Live and history must be the same message."""

        async def scene(asked: Asked) -> tuple[list[Publication], History]:
            await asked.subscribe()
            for data in ("tëxt 😀", b"\x00\xff", msgspec.Raw(b'{"a":[1,null]}')):
                await asked.publish(data)
            return await asked.hear(3), await asked.read(Span(limit=10))

        heard, history = self.on(scene)

        assert msgspec.json.encode(history.publications) == msgspec.json.encode(heard)
        assert [type(one.data) for one in heard] == [str, bytes, msgspec.Raw]
        assert heard[0] == Publication("42", 1, "alice", 1.5, "tëxt 😀")
        assert (heard[1].data, heard[1].encoding) == (b"\x00\xff", "base64")

    def test_stores_and_delivers_what_goes_with_a_message(self) -> None:
        """`meta` and the end mark, with any payload; beside messages that have neither."""
        extras = Extras({"trace": "é😀", "": ""}, end=True), Extras(end=True), Extras({"a": "b"})

        async def scene(asked: Asked) -> tuple[list[Publication], History]:
            await asked.subscribe()
            payloads: list[Payload] = ["é", b"\x00\xff", msgspec.Raw(b"{}")]
            for data, extra in zip(payloads, extras, strict=True):
                await asked.publish(data, extras=extra)
            await asked.publish()
            return await asked.hear(4), await asked.read(Span(limit=10))

        heard, history = self.on(scene)

        assert [(one.meta, one.end) for one in heard] == [
            *((one.meta, one.end) for one in extras),
            (msgspec.UNSET, msgspec.UNSET),
        ]
        assert msgspec.json.encode(history.publications) == msgspec.json.encode(heard)
        assert [one.data for one in heard[:2]] == ["é", b"\x00\xff"]

    def test_counts_what_goes_with_a_message_as_its_bytes(self) -> None:
        """Else a history could keep more than its bound."""
        full = Extras({"a": "a" * (META_BYTES - 1)})

        async def play() -> list[int]:
            engine = self.open_engine(replace(BOUNDS, bytes=3 * META_BYTES))
            async with Asked(engine).running() as asked:
                for _ in range(4):
                    await asked.publish("", extras=full)
                return [one.offset for one in (await asked.read(Span(10))).publications]

        assert asyncio.run(play()) in ([2, 3, 4], [3, 4])  # a store may count its own few bytes

    def test_a_message_may_have_no_sender(self) -> None:
        """What the application's own code publishes is nobody's word."""

        async def scene(asked: Asked) -> tuple[list[Publication], History]:
            await asked.subscribe()
            await asked.publish(sender=None)
            return await asked.hear(1), await asked.read(Span(limit=1))

        heard, history = self.on(scene)

        assert heard == history.publications == [Publication("42", 1, None, 1.5, "hello")]

    def test_delivers_once_however_often_it_was_subscribed(self) -> None:
        """Every join of a node subscribes; messages do not multiply with them."""

        async def scene(asked: Asked) -> list[Publication]:
            for _ in range(3):
                await asked.subscribe()
            await asked.publish("one")
            await asked.publish("two")
            return await asked.hear(2)

        assert [one.data for one in self.on(scene)] == ["one", "two"]

    def test_stores_what_nobody_hears(self) -> None:
        """Who comes later can still read it."""

        async def scene(asked: Asked) -> History:
            await asked.publish("unheard")
            await asked.subscribe()
            return await asked.read(Span(limit=10))

        assert [one.data for one in self.on(scene).publications] == ["unheard"]

    def test_leaves_no_gap_between_a_subscription_and_a_read(self) -> None:
        """What is published after the subscription is answered is read or delivered."""

        async def scene(asked: Asked) -> tuple[History, list[Publication]]:
            await asked.subscribe()
            publishing = asyncio.create_task(asked.publish("meanwhile"))
            history = await asked.read(Span(limit=10))
            await publishing
            return history, await asked.hear(1)

        history, heard = self.on(scene)

        missed = [one for one in heard if one.offset > history.position.offset]
        assert [one.offset for one in [*history.publications, *missed]] == [1]

    def test_delivers_only_what_this_node_hears(self) -> None:
        """Not before it subscribed, and no more of a channel it has left."""

        async def scene(asked: Asked) -> list[Publication]:
            await asked.publish("before")
            await asked.subscribe()
            await asked.publish("between")
            asked.engine.unsubscribe(asked.channel)
            await asked.publish("after")
            await asked.subscribe()
            await asked.publish("again")
            return await asked.hear(2)

        assert [one.data for one in self.on(scene)] == ["between", "again"]

    def test_keeps_the_order_of_a_channel_that_is_left_and_joined_again(self) -> None:
        """The count goes on, in the same epoch."""

        async def scene(asked: Asked) -> list[Position]:
            await asked.subscribe()
            first = await asked.publish()
            asked.engine.unsubscribe(asked.channel)
            await asked.subscribe()
            return [first, await asked.publish()]

        first, second = self.on(scene)

        assert (second.epoch, second.offset) == (first.epoch, 2)

    def test_keeps_channels_apart(self) -> None:
        """What is special to an engine must not reach another channel (requirement 79)."""
        names = [
            "item:a",
            "item:a:b",
            "item:A",
            "item:a*",
            "item:*",
            "item:>",
            "item:{a}",
            "item:'",
        ]

        async def scene(asked: Asked) -> list[tuple[str, int]]:
            prefix = asked.channel
            for name in names:
                await asked.publish(name, channel=prefix + name)
            histories = [await asked.read(Span(limit=9), prefix + name) for name in names]
            return [
                (str(one.data), one.offset) for history in histories for one in history.publications
            ]

        assert self.on(scene) == [(name, 1) for name in names]

    def test_answers_a_key_it_knows_with_the_first_answer_and_stores_nothing(self) -> None:
        """A retry after a lost answer makes no second message."""

        async def scene(asked: Asked) -> tuple[list[Position], list[Publication]]:
            await asked.subscribe()
            keys = ["a", "b", "a", None, "b"]
            positions = [await asked.publish(str(key), key) for key in keys]
            return positions, await asked.hear(3)

        positions, heard = self.on(scene)

        assert [one.offset for one in positions] == [1, 2, 1, 3, 2]
        assert [one.data for one in heard] == ["a", "b", "None"]

    def test_takes_the_same_key_on_another_channel_as_another(self) -> None:
        """A key belongs to its channel."""

        async def scene(asked: Asked) -> int:
            await asked.publish("here", "k")
            await asked.publish("there", "k", asked.channel + ":there")
            return len((await asked.read(Span(limit=9), asked.channel + ":there")).publications)

        assert self.on(scene) == 1

    @pytest.mark.parametrize(
        ("span", "offsets", "complete"),
        [
            pytest.param(Span(10), list(range(16, 26)), False, id="the-newest"),
            pytest.param(Span(0), [], False, id="none-of-some"),
            pytest.param(Span(100), list(range(6, 26)), False, id="what-is-kept"),
            pytest.param(Span(3, after=10), [11, 12, 13], False, id="the-oldest-after"),
            pytest.param(Span(3, after=10, before=13), [11, 12], True, id="between"),
            pytest.param(Span(3, after=2), [6, 7, 8], False, id="after-what-is-forgotten"),
            pytest.param(Span(100, after=5), list(range(6, 26)), True, id="just-what-is-kept"),
            pytest.param(Span(100, before=3), [], False, id="all-forgotten"),
            pytest.param(Span(100, after=25), [], True, id="nothing-newer"),
            pytest.param(Span(100, after=99, before=7), [], True, id="nothing-at-all"),
        ],
    )
    def test_reads_the_asked_span(self, span: Span, offsets: list[int], complete: bool) -> None:
        """25 were published, 20 are kept; `complete` says that nothing asked for is missing."""

        async def scene(asked: Asked) -> History:
            for _ in range(25):
                await asked.publish()
            return await asked.read(span)

        history = self.on(scene)

        assert [one.offset for one in history.publications] == offsets
        assert history.complete is complete
        assert history.position.offset == 25

    def test_keeps_each_channel_within_bounds_of_its_own(self) -> None:
        """A rule may give a channel less history than others, or more."""
        names = ("short", "few", "small", "many", "other")

        async def scene(asked: Asked) -> dict[str, list[int]]:
            channels = {name: f"{asked.channel}:{name}" for name in names}
            for channel in channels.values():
                for _ in range(35):
                    await asked.publish("5byte", channel=channel)
            histories = {name: await asked.read(Span(100), one) for name, one in channels.items()}
            return {
                name: [one.offset for one in history.publications]
                for name, history in histories.items()
            }

        assert self.on(scene, OwnBounds()) == {
            "short": [],
            "few": [33, 34, 35],
            "small": [34, 35],
            "many": list(range(6, 36)),
            "other": list(range(16, 36)),
        }

    def test_reads_nothing_of_a_channel_that_never_was(self) -> None:
        """An empty channel has a position too: a first subscriber resumes from it."""

        async def scene(asked: Asked) -> tuple[History, Position]:
            return await asked.read(Span(limit=9)), await asked.publish()

        history, first = self.on(scene)

        assert history == History(Position(first.epoch, 0), [], complete=True)

    def test_takes_a_notice_to_the_node_that_posts_it_too(self) -> None:
        """Every node does what it says, and it is told to all by one way (requirement 70)."""

        async def scene(asked: Asked) -> tuple[list[bytes], list[bytes]]:
            names = ("kept", "for now", "for nobody", "\0 ü")
            sent = [asked.notice(name) for name in names]
            ends = (time.time() + 60, time.time(), 0, time.time() + 60)
            for notice, until in zip(sent, ends, strict=True):
                await asked.post(notice, until)  # told in any case, whatever it is kept for
            return sent, await asked.notices(len(sent))

        sent, heard = self.on(scene)

        assert sorted(heard) == sorted(sent)

    def test_hands_the_notices_that_are_kept_to_a_node_that_starts_later(self) -> None:
        """Before it serves anybody: a restart lets no revoked token in (requirement 70)."""

        async def scene(asked: Asked) -> tuple[Asked, list[bytes]]:
            for name, seconds in (("a", 60.0), ("over", 0.0), ("b", 60.0)):
                await asked.post(asked.notice(name), time.time() + seconds)
            await asked.engine.stop()
            late = Asked(asked.engine)
            late.channel = asked.channel
            async with late.running():
                waiting = [late.noticed.get_nowait() for _ in range(late.noticed.qsize())]
                await asked.engine.start(Sink())  # what `on` stops
            return asked, [one for one in waiting if one.startswith(asked.channel.encode())]

        asked, heard = self.on(scene)

        assert sorted(heard) == [asked.notice("a"), asked.notice("b")]
