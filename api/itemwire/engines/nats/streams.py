"""The streams in which the NATS engine stores everything, made by the first node.

A *life* is a time in which the store has lost nothing. Its name is the beginning of every epoch's
name, so that a new life ends all epochs at once. The name is stored in a stream of its own. Unless
the servers wait for the disk (`sync=always`) that stream is in memory: it ends with the servers,
which may then have lost what they had acknowledged, and the first node that comes back begins a new
life. A node also begins one where a stream is missing, or the store has gone back behind what the
node has seen, as an older copy does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from typing import Any, Final, Protocol

import msgspec
from nats.aio.msg import Msg

from itemwire.engines.base import KEY_SECONDS, Bounds, EngineError
from itemwire.engines.nats.jetstream import (
    LAST_SUBJECT,
    NO_STREAM,
    StreamInfo,
    info_of,
    last_of,
    read_stored,
    refusal,
)
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import Record, StreamMessage

logger = logging.getLogger("itemwire.engines")

IDLE_SECONDS: Final = 120.0  # how long an unused channel outlives its history
LEAST_RECORDS: Final = 64  # for nodes that are a little behind, whatever the history
SPARE_RECORDS: Final = 8  # for records without a message, which keep a channel alive
MAX_NOTICES: Final = 100_000
SURE_SECONDS: Final = 2.0  # for which servers of a cluster may not know yet what they have
AGAIN_SECONDS: Final = 0.2
ELSEWHERE: Final = "another node has found that the store lost something"
NANO: Final = 1_000_000_000


COMMON: Final[dict[str, Any]] = {
    "storage": "file",
    "retention": "limits",
    "discard": "new",  # a full stream refuses, and drops nothing before its time
    "allow_direct": True,
    "duplicate_window": NANO // 10,  # JetStream's own memory of ids is not needed
}


class ServerRequest(Protocol):
    """A request to the server."""

    def __call__(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> Awaitable[Msg]:
        """Return the answer; EngineError if there is none."""
        ...


class JetStreams:
    """Makes the streams, and knows which life of the store it is."""

    def __init__(self, names: NatsNames, bounds: Bounds, replicas: int, *, is_synced: bool) -> None:
        self.names: Final = names
        self.record_limit: Final = max(bounds.messages, LEAST_RECORDS) + SPARE_RECORDS
        self.channel_seconds: Final = max(bounds.seconds, KEY_SECONDS) + IDLE_SECONDS
        copies = {"num_replicas": replicas}
        self._configs = [
            config | copies for config in (self._channels(), _kept(names), _notices(names))
        ]
        self.is_cluster: Final = replicas > 1
        self._life = _life(names, "file" if is_synced else "memory") | copies
        self._seen: tuple[int, tuple[str, int, str]] | None = None
        self._clock_offset = 0.0
        self._loss = ""  # by which this node knows that a life has ended
        self.life = ""

    @property
    def now(self) -> float:
        """Return the server's time, by which the age of records is judged."""
        return asyncio.get_running_loop().time() + self._clock_offset

    def remember(self, sequence: int, record: Record) -> None:
        """Remember the newest record, to notice that the store has gone back behind it."""
        if self._seen is None or sequence > self._seen[0]:
            self._seen = sequence, _identity_of(record)

    async def prepare(self, ask: ServerRequest) -> None:
        """Make what is missing, and check that the store is still the one that this node knew."""
        known = self.life
        if not await self._is_there(ask, self._life):
            await self._change(ask, "CREATE", self._life)
        await self.check_life(ask)
        missing = await self._missing(ask, is_known=known == self.life)
        if missing and known == self.life:  # before any node stores in the old one
            names = ", ".join(str(config["name"]) for config in missing)
            await self._renew_life(ask, f"the server has no stream {names}")
        for config in missing:
            await self._change(ask, "CREATE", config)
        await self.check_seen(ask)

    async def check_life(self, ask: ServerRequest) -> None:
        """Learn which life it is; the first node that finds none begins one."""
        found = await self._known_life(ask)
        if found is None:
            self._loss = f"the stream {self.names.life} is empty or new"
            found = await self._first_life(ask)
        if found is None:
            raise EngineError("JetStream forgets what it has stored")
        self.learn(found)

    def learn(self, stored: StreamMessage) -> None:
        """Take the life that was found in its stream; it is logged if it ends another."""
        life = stored.data.decode()
        if life != self.life:
            if self.life:
                logger.warning("epochs_ended problem=%s", self._loss or ELSEWHERE)
            self.life, self._seen = life, None
        self._loss = ""

    async def check_seen(self, ask: ServerRequest) -> None:
        """Begin a new life if the store has gone back behind what this node has seen."""
        seen = self._seen  # read before the server is asked, as more may arrive meanwhile
        info = StreamInfo()
        for pause in self._pauses():
            await asyncio.sleep(pause)
            info = await self._info(ask, self.names.channels)
            if info.error is not None:
                raise refusal(info.error)
            if info.ts is not None:
                self._clock_offset = info.ts.timestamp() - asyncio.get_running_loop().time()
            if seen is None or await self._has_seen(ask, info, *seen):
                return
        if seen is not None:
            last = info.state.last_seq
            loss = f"it has {last} records, and not the {seen[0]}th that it had"
            await self._renew_life(ask, loss)

    def _pauses(self) -> list[float]:
        """Return the seconds before each look whether something is there, until it is.

        One server knows what it has. In a cluster one that has just been chosen to lead may have
        yet to read what the servers have agreed on, and store nothing for a moment.
        """
        looks = round(SURE_SECONDS / AGAIN_SECONDS) if self.is_cluster else 1
        return [0.0] + [AGAIN_SECONDS] * (looks - 1)

    async def _missing(self, ask: ServerRequest, *, is_known: bool) -> list[dict[str, Any]]:
        """List the streams that are not there; where they are known to have been, look again."""
        missing = self._configs
        for pause in self._pauses():
            await asyncio.sleep(pause)
            missing = [one for one in missing if not await self._is_there(ask, one)]
            if not (missing and is_known):
                break
        return missing

    async def _renew_life(self, ask: ServerRequest, loss: str) -> None:
        """Begin a new life in place of the one known here, unless another node has done so."""
        found = await self._last_life(ask)
        if found is not None and found.data.decode() == self.life:
            self._loss = loss
            await self._begin_life(ask, found.sequence)
        await self.check_life(ask)

    async def _has_seen(
        self, ask: ServerRequest, info: StreamInfo, sequence: int, identity: tuple[str, int, str]
    ) -> bool:
        if info.state.last_seq < sequence:
            return False
        subject = f"$JS.API.STREAM.MSG.GET.{self.names.channels}"
        reply = await ask(subject, b'{"seq":%d}' % sequence)
        stored = read_stored(reply.data)
        if isinstance(stored, EngineError):
            raise stored
        if stored is None:
            return True  # it was deleted in time
        now = Record.read(stored.data)
        return now is not None and _identity_of(now) == identity

    async def _known_life(self, ask: ServerRequest) -> StreamMessage | None:
        """Return the stored life, or None; where there was one, only after some looks."""
        found = None
        for pause in self._pauses():
            await asyncio.sleep(pause)
            found = await self._last_life(ask)
            if found is not None or not self.life:
                break
        return found

    async def _last_life(self, ask: ServerRequest) -> StreamMessage | None:
        reply = await ask(*last_of(self.names.life, self.names.life_subject))
        stored = read_stored(reply.data)
        if isinstance(stored, EngineError):
            raise stored
        return stored

    async def _first_life(self, ask: ServerRequest) -> StreamMessage | None:
        """Begin a life where there is none, and return the one that is there then."""
        found = None
        for pause in self._pauses():
            await asyncio.sleep(pause)
            await self._begin_life(ask, 0)
            found = await self._last_life(ask)
            if found is not None:
                break
        return found

    async def _begin_life(self, ask: ServerRequest, after: int) -> None:
        life = secrets.token_urlsafe(6)
        await ask(self.names.life_subject, life.encode(), {LAST_SUBJECT: str(after)})

    def _channels(self) -> dict[str, Any]:
        return COMMON | {
            "name": self.names.channels,
            "subjects": [self.names.channel_subjects],
            "max_msgs_per_subject": self.record_limit,
            "max_age": int(self.channel_seconds * NANO),
            "republish": {"src": f"{self.names.channels}.c.>", "dest": f"{self.names.live}.>"},
        }

    async def _is_there(self, ask: ServerRequest, config: dict[str, Any]) -> bool:
        """Return whether a stream exists, and update it if it is not as it has to be."""
        info = await self._info(ask, config["name"])
        if info.error is not None:
            if info.error.err_code != NO_STREAM:
                raise refusal(info.error)
            return False
        there = info.config
        if there.get("storage") != config["storage"]:
            raise EngineError(
                f"the stream {config['name']} is in {there.get('storage')}: "
                "sync= must be the same in the URL of all nodes"
            )
        wanted = _merged(there, config)
        if wanted != there:
            await self._change(ask, "UPDATE", wanted)
        return True

    async def _change(self, ask: ServerRequest, action: str, config: dict[str, Any]) -> None:
        subject = f"$JS.API.STREAM.{action}.{config['name']}"
        info = info_of((await ask(subject, msgspec.json.encode(config))).data)
        if info.error is not None:
            raise refusal(info.error, f"the stream {config['name']}")

    async def _info(self, ask: ServerRequest, stream: str) -> StreamInfo:
        return info_of((await ask(f"$JS.API.STREAM.INFO.{stream}", b"")).data)


def _identity_of(record: Record) -> tuple[str, int, str]:
    return record.epoch, record.first, record.node


def _kept(names: NatsNames) -> dict[str, Any]:
    return COMMON | {
        "name": names.kept,
        "subjects": [names.key_subjects, names.value_subjects],
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
    }


def _notices(names: NatsNames) -> dict[str, Any]:
    return COMMON | {
        "name": names.notices,
        "subjects": [names.notice],
        "max_msgs": MAX_NOTICES,
        "allow_msg_ttl": True,
        "republish": {"src": names.notice, "dest": names.told},
    }


def _life(names: NatsNames, storage: str) -> dict[str, Any]:
    """Return the stream of the life; in memory, it ends when the servers do."""
    return COMMON | {
        "name": names.life,
        "subjects": [names.life_subject],
        "max_msgs_per_subject": 1,
        "storage": storage,
    }


def _merged(there: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return what must be so from us, the larger bounds, and all else as the operator set it."""
    ours = config | {name: there[name] for name in ("num_replicas", "max_msgs") if name in there}
    for bound in ("max_age", "max_msgs_per_subject"):
        if bound in config:
            ours[bound] = max(config[bound], there.get(bound, 0))
    return there | ours
