"""Stand-ins at the core's two doors, the socket and the engine, and peers to talk through them."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from typing_extensions import override

from api.channels.connection import Connection
from api.channels.items_session import ItemsSession
from api.channels.limits import BY_TOKEN, Lifetime, Limits, RateLimits
from api.channels.node import Node
from api.channels.outbox import Transport
from api.channels.places import Places
from api.channels.rates import Rates
from api.channels.recovery import LIVE, Start
from api.channels.refreshing import Denied, Reauthorize, Renewal, Rights, Verdict
from api.channels.session import ChannelSession, ItemSession
from api.closing import FORBIDDEN, CloseReason
from api.driver import FRAME_BY_FRAME, Frames
from api.engines.base import (
    Answer,
    Bounds,
    Deliver,
    Engine,
    EngineError,
    Heed,
    History,
    Lose,
    Span,
    unheeded,
    unmissed,
)
from api.engines.memory import MemoryEngine
from api.messages import Draft, Frame, Payload, Position
from api.wire import CODECS
from api.wire.base import Codec
from auth.principal import Grant, Principal
from auth.revocation import Revocations
from auth.scopes import Action, ScopeSet

T = TypeVar("T")

NOW: Final = 1_800_000_000.0
ITEM: Final = "42"
CHANNEL: Final = "item:42"
EVERYTHING: Final = frozenset(Action)
JSON: Final = CODECS["itemwire.v1.json"]
PLAIN: Final = CODECS["itemwire.v1.plain"]
BOUNDS: Final = Bounds(messages=100, bytes=100_000, seconds=300)
LIMITS: Final = Limits(
    max_message_bytes=10_000, outbox_bytes=10_000, history_limit=50, ping_interval=20
)


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Close(NamedTuple):
    """How a transport was told to end."""

    code: int
    reason: str


class RecordingTransport(Transport):
    """Notes every frame; with `room`, takes so many and then says that it has enough.

    Whoever looks at it sees what was there at the end of the loop tick.
    """

    framing = FRAME_BY_FRAME

    def __init__(self, room: int | None = None, settle: Callable[[], None] | None = None) -> None:
        self._frames: list[Frame] = []
        self._closes: list[Close] = []
        self._settle = settle or (lambda: None)
        self.room = room
        self.chunks = 0
        self.discards = 0
        self.held = 0
        self.connection: Connection | None = None

    @override
    def write(self, chunk: Frames) -> None:
        self.chunks += 1
        self._frames.extend(chunk.frames)
        if self.room is not None:
            self.room = max(self.room - len(chunk.frames), 0)
            if self.room == 0 and self.connection is not None:
                self.connection.paused()

    @override
    def unsent(self) -> int:
        return self.held

    @override
    def discard(self) -> None:
        self.discards += 1

    @override
    def close(self, code: int, reason: str) -> None:
        self._closes.append(Close(code, reason))

    @property
    def frames(self) -> list[Frame]:
        """List the frames it has taken."""
        self._settle()
        return self._frames

    @property
    def closes(self) -> list[Close]:
        """List how it was told to end: once, or not yet."""
        self._settle()
        return self._closes

    @property
    def reasons(self) -> list[str]:
        """Tell why it was closed: one reason, or none yet."""
        return [close.reason for close in self.closes]


class LateEngine(Engine):
    """A memory engine far away: a call takes one `step` to arrive and one to be answered."""

    def __init__(self) -> None:
        self.inner = MemoryEngine(BOUNDS, clock=Clock(), unix_clock=Clock())
        self.steps: deque[Callable[[], None]] = deque()
        self.heard: set[str] = set()
        self.lose: Lose = unmissed
        self.is_away = False
        self.broken: set[str] = set()

    def step(self, count: int = 1) -> None:
        """Let so many calls arrive or be answered, in the order they were made."""
        for _ in range(count):
            self.steps.popleft()()

    def settle(self) -> None:
        """Let everything arrive and be answered."""
        while self.steps:
            self.step()

    @property
    @override
    def is_available(self) -> bool:
        return not self.is_away

    @override
    async def start(self, deliver: Deliver, heed: Heed = unheeded, lose: Lose = unmissed) -> None:
        self.lose = lose
        await self.inner.start(deliver, heed)

    @override
    async def stop(self) -> None:
        await self.inner.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        def hear(done: Answer[None]) -> None:
            self.heard.add(channel)
            self.inner.subscribe(channel, done)

        self._ask("subscribe", hear, answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self.heard.discard(channel)
        self.inner.unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        self._ask("publish", lambda done: self.inner.publish(channel, draft, done), answer)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._ask("read", lambda done: self.inner.read(channel, span, done), answer)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._ask("post", lambda done: self.inner.post(notice, until, done), answer)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._ask("put", lambda done: self.inner.put(key, value, seconds, done), answer)

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._ask("take", lambda done: self.inner.take(key, done), answer)

    def _ask(self, name: str, call: Callable[[Answer[T]], None], answer: Answer[T]) -> None:
        def arrive() -> None:
            if name in self.broken:
                self.steps.append(lambda: answer(EngineError(f"{name} is broken")))
            else:
                call(lambda result: self.steps.append(lambda: answer(result)))

        self.steps.append(arrive)


C = TypeVar("C", bound=ChannelSession)


class Talker(Generic[C]):
    """One client, without the socket between it and its session."""

    def __init__(self, session: C, transport: RecordingTransport) -> None:
        self.session = session
        self.transport = transport

    @property
    def connection(self) -> Connection:
        """Give the connection that the session conducts."""
        return self.session.connection

    @property
    def sees(self) -> list[dict[str, Any]]:
        """List the envelopes that reached it."""
        return [msgspec.json.decode(frame) for frame in self.transport.frames]

    def saw(self, *kinds: str) -> list[dict[str, Any]]:
        """List the envelopes of these types that reached it."""
        return [envelope for envelope in self.sees if envelope["type"] in kinds]

    def says(self, kind: str, **fields: object) -> dict[str, Any]:
        """Send an envelope, and give what reached it last."""
        self.session.received(msgspec.json.encode({"type": kind, **fields}).decode())
        return self.sees[-1]

    def drains(self) -> None:
        """Read everything, and go on reading."""
        self.transport.room = None
        self.session.writable()


class Peer(Talker[ItemSession]):
    """A client of one item."""


class ManyPeer(Talker[ItemsSession]):
    """A client of many items."""

    def joins(self, item: str = ITEM, **fields: object) -> dict[str, Any]:
        """Join an item, and give what reached it last."""
        return self.says("join", item=item, **fields)


class Stage:
    """A started node with its clock held still, and a way for peers to join an item."""

    def __init__(
        self,
        engine: Engine | None = None,
        limits: Limits = LIMITS,
        leeway: float = 0,
        lifetime: Lifetime = BY_TOKEN,
        rate_limits: RateLimits | None = None,
        *,
        shared_as: str | None = None,
        places: Places | None = None,
    ) -> None:
        self.clock = Clock()
        self._soon: list[Callable[[], None]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.engine = engine or MemoryEngine(BOUNDS, clock=self.clock, unix_clock=self.clock)
        self._ids = iter(range(1, 1_000_000))
        self.revocations = Revocations(clock=self.clock)
        self.places = places
        self.node = Node(
            self.engine,
            limits,
            leeway=leeway,
            lifetime=lifetime,
            revocations=self.revocations,
            clock=self.clock,
            new_id=lambda: f"{shared_as or 'c'}{next(self._ids)}",
            call_soon=self._soon.append,
            call_later=self._call_later,
            random=lambda: 0.5,
            rates=Rates(rate_limits, self.clock) if rate_limits else None,
            is_shared=shared_as is not None,
            places=places,
        )
        complete(self.node.start())

    @property
    def waits(self) -> bool:
        """Tell whether something is to be done later."""
        return bool(self._later)

    def do_what_waits(self) -> None:
        """Do what is to be done later, all of it, without a look at the time."""
        later, self._later = self._later, []
        for _, callback in later:
            callback()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and call what is due on the way, in its order."""
        end = self.clock.now + seconds
        while due := [one for one in self._later if one[0] <= end]:
            first = min(due, key=lambda one: one[0])
            self._later.remove(first)
            self.clock.now = first[0]
            first[1]()
            self.settle()
        self.clock.now = end

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._later.append((self.clock.now + seconds, callback))

    def settle(self) -> None:
        """Let the loop tick end."""
        while self._soon:
            self._soon.pop(0)()

    def connect(
        self, subject: str = "alice", codec: Codec = JSON, room: int | None = None, life: int = 3600
    ) -> tuple[Connection, RecordingTransport]:
        """Take in a socket that joins nothing yet."""
        transport = RecordingTransport(room, self.settle)
        caller = principal(subject, int(self.clock.now) + life)
        transport.connection = self.node.connect(caller, codec, transport)
        return transport.connection, transport

    def join(
        self,
        subject: str = "alice",
        *,
        item: str = ITEM,
        can: frozenset[Action] = EVERYTHING,
        codec: Codec = JSON,
        room: int | None = None,
        start: Start = LIVE,
        life: int = 3600,
        reauthorize: Reauthorize | None = None,
    ) -> Peer:
        """Join an item as someone who may do this there."""
        connection, transport = self.connect(subject, codec, room, life)
        grant = Grant(connection.principal, item, can)
        session = ItemSession(self.node, connection, grant, start, reauthorize)
        session.opened()
        return Peer(session, transport)

    def open(
        self,
        rules: ItemRules,
        subject: str = "alice",
        *,
        room: int | None = None,
        life: int = 3600,
    ) -> ManyPeer:
        """Open a socket for many items as someone of whom these rules say what is allowed."""
        connection, transport = self.connect(subject, JSON, room, life)
        session = ItemsSession(self.node, connection, rules)
        session.opened()
        return ManyPeer(session, transport)


class ItemRules(Rights):
    """What dependencies say about items and newer tokens: at once, or when they are told to.

    `can` has what may be done with an item; with any that is not in it, nothing.
    """

    def __init__(self, can: dict[str, frozenset[Action]] | None = None) -> None:
        self.can = can or {}
        self.problem: CloseReason | None = None
        self.is_slow = False
        self.asked: list[str] = []
        self._answers: deque[Callable[[], None]] = deque()

    @override
    def of_item(
        self, principal: Principal, item_id: str, answer: Callable[[Verdict], None]
    ) -> None:
        self.asked.append(item_id)
        self._answer(lambda: answer(self._verdict(principal, item_id)))

    @override
    def renew(
        self, token: str, items: Sequence[str], answer: Callable[[Renewal | Denied], None]
    ) -> None:
        """Take the token for the subject it names."""
        self.asked.append(f"renew {' '.join(items)}".strip())
        caller = principal(token, int(NOW) + 7200)
        self._answer(
            lambda: answer(Renewal(caller, {one: self._verdict(caller, one) for one in items}))
        )

    def say(self) -> None:
        """Answer the question that has waited longest, by what holds now."""
        self._answers.popleft()()

    def _answer(self, tell: Callable[[], None]) -> None:
        if self.is_slow:
            self._answers.append(tell)
        else:
            tell()

    def _verdict(self, caller: Principal, item_id: str) -> Verdict:
        if self.problem is not None:
            return Denied(self.problem, caller)
        can = self.can.get(item_id)
        return Denied(FORBIDDEN, caller) if can is None else Grant(caller, item_id, can)


class Rules:
    """What a route's dependencies say about a newer token: when they are told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: deque[Callable[[Verdict], None]] = deque()

    def __call__(self, token: str, answer: Callable[[Verdict], None]) -> None:
        """Take a question."""
        self.asked.append(token)
        self._answers.append(answer)

    def say(self, verdict: Verdict) -> None:
        """Answer the question that has waited longest."""
        self._answers.popleft()(verdict)


def complete(steps: Coroutine[object, None, None]) -> None:
    """Run a coroutine that has nothing to wait for, in a loop or without one."""
    with contextlib.suppress(StopIteration):
        steps.send(None)
        raise AssertionError("it waited")


def principal(subject: str = "alice", expires_at: int = int(NOW) + 3600) -> Principal:
    """Make a verified caller."""
    return Principal(None, subject, ScopeSet(), expires_at)


def draft(data: Payload = "hello", key: str | None = None) -> Draft:
    """Make a message that has no place yet."""
    return Draft(ITEM, "alice", NOW, data, key)
