"""The streams that the NATS engine keeps its things in, made and looked after by every node."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from nats.aio.msg import Msg

from api.engines.base import KEY_SECONDS, Bounds, EngineError
from api.engines.nats_records import Record, Stored, token_of

IDLE_SECONDS: Final = 120.0  # a channel is kept so long beyond its history, and heard ones renewed
LEAST_RECORDS: Final = 64  # for nodes that are a little behind, whatever the history
SPARE_RECORDS: Final = 8  # empty ones, which keep a channel
MAX_NOTICES: Final = 100_000
NANO: Final = 1_000_000_000

LAST_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence"
TTL: Final = "Nats-TTL"
MOST_TTL: Final = 10 * 365 * 86_400

NO_STREAM: Final = 10059
NO_MESSAGE: Final = 10037
MOVED_ON: Final = frozenset({10071, 10164})


class Problem(msgspec.Struct, frozen=True):
    """What JetStream says that it did not do."""

    err_code: int = 0
    description: str = ""


class Ack(msgspec.Struct, frozen=True):
    """The answer to a message that was to be stored."""

    seq: int = 0
    error: Problem | None = None


class _Message(msgspec.Struct, frozen=True):
    seq: int
    time: datetime
    data: bytes = b""


class _Found(msgspec.Struct, frozen=True):
    message: _Message | None = None
    error: Problem | None = None


class _State(msgspec.Struct, frozen=True):
    last_seq: int


class _Info(msgspec.Struct, frozen=True):
    config: dict[str, Any] = {}
    state: _State = _State(0)
    ts: datetime | None = None
    error: Problem | None = None


_acks: Final = msgspec.json.Decoder(Ack)
_finds: Final = msgspec.json.Decoder(_Found)
_infos: Final = msgspec.json.Decoder(_Info)


class Asking(Protocol):
    """How the server is asked."""

    def __call__(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> Awaitable[Msg]:
        """Give the answer; EngineError if there is none."""
        ...


class Names:
    """What everything is called on the server; a world has names of its own."""

    def __init__(self, world: str) -> None:
        self.channels: Final = world
        self.kept: Final = f"{world}-kept"
        self.notices: Final = f"{world}-notices"
        self.life: Final = f"{world}-life"
        self.live: Final = f"{world}.live"
        self.told: Final = f"{world}.told"
        self.turns: Final = f"{world}.turns"
        self.notice: Final = f"{world}.notice"
        self.life_subject: Final = f"{world}.life"
        self._world = world

    def channel(self, channel: str) -> str:
        """Name where a channel's records are stored."""
        return f"{self._world}.c.{token_of(channel)}"

    def live_of(self, channel: str) -> str:
        """Name where a channel's records are heard, once they are stored."""
        return f"{self.live}.{token_of(channel)}"

    def key(self, channel: str, key: str) -> str:
        """Name where it is kept what a message with a key has become."""
        return f"{self._world}.key.{token_of(channel)}.{token_of(key)}"

    def value(self, key: str) -> str:
        """Name where a value is kept."""
        return f"{self._world}.value.{token_of(key)}"


def last_of(stream: str, subject: str) -> tuple[str, bytes]:
    """Write the question for a subject's last message, which the stream's leader answers."""
    return f"$JS.API.STREAM.MSG.GET.{stream}", b'{"last_by_subj":"%b"}' % subject.encode()


def from_on(stream: str, subject: str, begin: int, most: int) -> tuple[str, bytes]:
    """Write the question for a subject's messages from a number of the stream on, in one answer."""
    question = {"seq": begin, "next_by_subj": subject, "batch": most}
    return f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question)


def stored_of(reply: bytes) -> Stored | EngineError | None:
    """Read the answer; None where there is no such message."""
    found = _finds.decode(reply)
    if found.error is not None:
        return None if found.error.err_code == NO_MESSAGE else refusal(found.error)
    if found.message is None:
        return EngineError("JetStream says neither a message nor why")
    message = found.message
    return Stored(message.seq, message.time.timestamp(), message.data)


def ack_of(reply: bytes) -> Ack:
    """Read the answer to a message that was to be stored."""
    return _acks.decode(reply)


def refusal(problem: Problem) -> EngineError:
    """Say what JetStream did not do."""
    return EngineError(f"JetStream: {problem.description}")


def ttl_of(seconds: float) -> str:
    """Write how long a message is kept: whole seconds, one at least."""
    return str(min(max(int(-(-seconds // 1)), 1), MOST_TTL))


class Streams:
    """Makes the streams, and knows which life of the store this is."""

    def __init__(self, names: Names, bounds: Bounds, replicas: int, *, is_synced: bool) -> None:
        self.names: Final = names
        self._replicas = replicas
        self.record_limit: Final = max(bounds.messages, LEAST_RECORDS) + SPARE_RECORDS
        self.channel_seconds: Final = max(bounds.seconds, KEY_SECONDS) + IDLE_SECONDS
        self._is_synced = is_synced
        self._seen: tuple[int, Record] | None = None
        self._clock_offset = 0.0
        self.life = ""

    @property
    def now(self) -> float:
        """Tell the server's time, by which records are old or not."""
        return asyncio.get_running_loop().time() + self._clock_offset

    def saw(self, sequence: int, record: Record) -> None:
        """Remember the newest record that was stored, to know it again."""
        if self._seen is None or sequence > self._seen[0]:
            self._seen = sequence, record

    async def prepare(self, ask: Asking) -> None:
        """Make what is missing, and see that the store is the one that was known here."""
        known = self.life
        made = [await self._make(ask, config) for config in self._configs()]
        await self.check_life(ask)
        if any(made) and known == self.life:
            await self._renew_life(ask)
        await self.check_seen(ask)

    async def check_life(self, ask: Asking) -> None:
        """Learn which life this is; the first who finds none begins one."""
        found = await self._last_life(ask)
        if found is None:
            await self._begin_life(ask, 0)
            found = await self._last_life(ask)
        if found is None:
            raise EngineError("JetStream forgets what it has stored")
        self.learn(found)

    def learn(self, stored: Stored) -> None:
        """Take what was found where the life is told."""
        life = stored.data.decode()
        if life != self.life:
            self.life, self._seen = life, None

    async def check_seen(self, ask: Asking) -> None:
        """Begin a new life if the store has gone back behind what was seen here."""
        seen = self._seen  # before it is asked: more may come meanwhile
        info = await self._info(ask, self.names.channels)
        if info.ts is not None:
            self._clock_offset = info.ts.timestamp() - asyncio.get_running_loop().time()
        if seen is not None and not await self._has_seen(ask, info, *seen):
            await self._renew_life(ask)

    async def _renew_life(self, ask: Asking) -> None:
        """Begin a new life in place of the one that is known here, unless another node has."""
        found = await self._last_life(ask)
        if found is not None and found.data.decode() == self.life:
            await self._begin_life(ask, found.sequence)
        await self.check_life(ask)

    async def _has_seen(self, ask: Asking, info: _Info, sequence: int, record: Record) -> bool:
        if info.state.last_seq < sequence:
            return False
        subject = f"$JS.API.STREAM.MSG.GET.{self.names.channels}"
        reply = await ask(subject, b'{"seq":%d}' % sequence)
        stored = stored_of(reply.data)
        if isinstance(stored, EngineError):
            raise stored
        if stored is None:
            return True  # it was forgotten in time
        now = Record.read(stored.data)
        return now is not None and (now.epoch, now.first, now.node) == (
            record.epoch,
            record.first,
            record.node,
        )

    async def _last_life(self, ask: Asking) -> Stored | None:
        reply = await ask(*last_of(self.names.life, self.names.life_subject))
        stored = stored_of(reply.data)
        if isinstance(stored, EngineError):
            raise stored
        return stored

    async def _begin_life(self, ask: Asking, after: int) -> None:
        life = secrets.token_urlsafe(6)
        await ask(self.names.life_subject, life.encode(), {LAST_SUBJECT: str(after)})

    def _configs(self) -> list[dict[str, Any]]:
        names = self.names
        world = names.channels
        limits = {"retention": "limits", "discard": "new", "num_replicas": self._replicas}
        # What is sent twice is found by the numbers; JetStream's own memory of ids is not needed.
        limits |= {"storage": "file", "allow_direct": True, "duplicate_window": NANO // 10}
        return [
            limits
            | {
                "name": names.channels,
                "subjects": [f"{world}.c.*"],
                "max_msgs_per_subject": self.record_limit,
                "max_age": int(self.channel_seconds * NANO),
                "republish": {"src": f"{world}.c.>", "dest": f"{names.live}.>"},
            },
            limits
            | {
                "name": names.kept,
                "subjects": [f"{world}.key.*.*", f"{world}.value.*"],
                "max_msgs_per_subject": 1,
                "allow_msg_ttl": True,
            },
            limits
            | {
                "name": names.notices,
                "subjects": [names.notice],
                "max_msgs": MAX_NOTICES,
                "allow_msg_ttl": True,
                "republish": {"src": names.notice, "dest": names.told},
            },
            # In memory it ends with the servers: then they may have lost what they had answered.
            limits
            | {
                "name": names.life,
                "subjects": [names.life_subject],
                "max_msgs_per_subject": 1,
                "storage": "file" if self._is_synced else "memory",
            },
        ]

    async def _make(self, ask: Asking, config: dict[str, Any]) -> bool:
        """Make a stream as it has to be; tell whether there was none."""
        info = await self._info(ask, config["name"])
        if info.error is not None:
            if info.error.err_code != NO_STREAM:
                raise refusal(info.error)
            await self._change(ask, "CREATE", config)
            return True
        there = info.config
        if there.get("storage") != config["storage"]:
            raise EngineError(
                f"the stream {config['name']} is in {there.get('storage')}: "
                "sync= must be the same in the URL of all nodes"
            )
        wanted = _merged(there, config)
        if wanted != there:
            await self._change(ask, "UPDATE", wanted)
        return False

    async def _change(self, ask: Asking, action: str, config: dict[str, Any]) -> None:
        subject = f"$JS.API.STREAM.{action}.{config['name']}"
        info = _infos.decode((await ask(subject, msgspec.json.encode(config))).data)
        if info.error is not None:
            raise EngineError(f"the stream {config['name']}: {info.error.description}")

    async def _info(self, ask: Asking, stream: str) -> _Info:
        return _infos.decode((await ask(f"$JS.API.STREAM.INFO.{stream}", b"")).data)


def _merged(there: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Take what must be so from us, the larger bounds, and all else as its operator made it."""
    ours = config | {name: there[name] for name in ("num_replicas", "max_msgs") if name in there}
    for bound in ("max_age", "max_msgs_per_subject"):
        if bound in config:
            ours[bound] = max(config[bound], there.get(bound, 0))
    return there | ours
