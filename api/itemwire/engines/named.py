"""Part of an engine, by a name: those who use another name neither hear nor read it.

So two applications, or two `Itemwire` in one, may use one Redis. Every channel and every key has
the name before it, and so has every notice: revocations and members are told by notices.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from typing_extensions import override

from itemwire.arguments import check_text
from itemwire.engines.base import (
    PROBE,
    Answer,
    Bounds,
    ChannelBounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.engines.faults import EngineFault
from itemwire.messages import Draft, Position, Publication

MAX_NAME: Final = 32
NAME: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{MAX_NAME - 1}}}")

END: Final = "/"  # of a name. The channels of those without one begin with `item:`


def prefix_of(name: str) -> str:
    """Return what stands before all that has a name; nothing for no name.

    Raises ValueError for what is no name.
    """
    check_text("name", name)
    if name and NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is no name: it has up to {MAX_NAME} lower-case letters, digits, `_` and "
            "`-`, and begins with a letter or a digit"
        )
    return name and name + END


def has_name(notice: bytes) -> bool:
    """Return whether a notice has a name before it: it is not for those who have none."""
    name, end, _rest = notice[: MAX_NAME + 1].partition(END.encode())
    return bool(end) and NAME.fullmatch(name.decode("latin-1")) is not None


def is_probe(name: str) -> bool:
    """Return whether a key or channel is what an engine is tried with, whatever name it has."""
    if not name.endswith(PROBE):
        return False
    return name == PROBE or (NAME.fullmatch(name.removesuffix(END + PROBE)) is not None)


class NamedBounds(ChannelBounds):
    """The bounds of channels, for an engine that knows them with a name before each."""

    def __init__(self, inner: ChannelBounds, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix

    @override
    def of(self, channel: str, /) -> Bounds:
        return self._inner.of(channel.removeprefix(self._prefix))

    @property
    @override
    def largest(self) -> Bounds:
        return self._inner.largest


class NamedEngine(Engine):
    """Passes everything on with a name before it, and takes it off what comes back."""

    def __init__(self, inner: Engine, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self._mark = prefix.encode()
        self.answers_at_once = inner.answers_at_once

    @property
    @override
    def fault(self) -> EngineFault | None:
        return self._inner.fault

    @property
    @override
    def parts(self) -> Mapping[str, bool]:
        return self._inner.parts

    @property
    @override
    def is_available(self) -> bool:
        return self._inner.is_available

    @property
    @override
    def most_bytes(self) -> int | None:
        return self._inner.most_bytes

    @override
    async def start(self, sink: Sink) -> None:
        def deliver(channel: str, publication: Publication) -> None:
            sink.deliver(channel.removeprefix(self._prefix), publication)

        def apply(notice: bytes) -> None:
            if notice.startswith(self._mark):
                sink.apply(notice.removeprefix(self._mark))

        def lose(channel: str, position: Position) -> None:
            sink.lose(channel.removeprefix(self._prefix), position)

        def hear(channel: str, words: bytes) -> None:
            sink.hear(channel.removeprefix(self._prefix), words)

        def miss(channel: str) -> None:
            sink.miss(channel.removeprefix(self._prefix))

        await self._inner.start(Sink(deliver, apply, lose, hear, miss))

    @override
    async def stop(self) -> None:
        await self._inner.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        self._inner.subscribe(self._prefix + channel, answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self._inner.unsubscribe(self._prefix + channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        self._inner.publish(self._prefix + channel, draft, answer)

    @override
    def publish_now(self, channel: str, draft: Draft) -> Position | EngineError:
        return self._inner.publish_now(self._prefix + channel, draft)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._inner.read(self._prefix + channel, span, answer)

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        self._inner.erase(self._prefix + channel, answer)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._inner.post(self._mark + notice, until, answer)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        self._inner.tell(self._prefix + channel, words, answer)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._inner.put(self._prefix + key, value, seconds, answer)

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._inner.take(self._prefix + key, answer)

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        """Answer a secret of this name's own: what one signs is not valid under another."""

        def answered(secret: bytes | EngineError) -> None:
            if isinstance(secret, bytes):
                secret = sha256(self._mark + secret).digest()
            answer(secret)

        self._inner.secret(answered)
