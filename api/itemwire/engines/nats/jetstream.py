"""How JetStream is asked for what it has stored, and what its answers say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from itemwire.engines.base import EngineError
from itemwire.engines.nats.records import StoredMessage

LAST_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence"
TTL: Final = "Nats-TTL"
MOST_TTL: Final = 10 * 365 * 86_400

NO_STREAM: Final = 10059
NO_MESSAGE: Final = 10037
MOVED_ON: Final = frozenset({10071, 10164})


class JetStreamProblem(msgspec.Struct, frozen=True):
    """What JetStream says that it did not do."""

    err_code: int = 0
    description: str = ""


class PublishAck(msgspec.Struct, frozen=True):
    """The answer to a message that was to be stored."""

    seq: int = 0
    error: JetStreamProblem | None = None


class _Message(msgspec.Struct, frozen=True):
    seq: int
    time: datetime
    data: bytes = b""


class _Found(msgspec.Struct, frozen=True):
    message: _Message | None = None
    error: JetStreamProblem | None = None


class StreamState(msgspec.Struct, frozen=True):
    """How far a stream has come."""

    last_seq: int


class StreamInfo(msgspec.Struct, frozen=True):
    """What a stream is, how far it has come, and what time it is there; or why it is not."""

    config: dict[str, Any] = {}
    state: StreamState = StreamState(0)
    ts: datetime | None = None
    error: JetStreamProblem | None = None


_acks: Final = msgspec.json.Decoder(PublishAck)
_finds: Final = msgspec.json.Decoder(_Found)
_infos: Final = msgspec.json.Decoder(StreamInfo)


def last_of(stream: str, subject: str) -> tuple[str, bytes]:
    """Write the question for a subject's last message, which the stream's leader answers."""
    return f"$JS.API.STREAM.MSG.GET.{stream}", b'{"last_by_subj":"%b"}' % subject.encode()


def from_on(stream: str, subject: str, begin: int, most: int) -> tuple[str, bytes]:
    """Write the question for a subject's messages from a number of the stream on."""
    question = {"seq": begin, "next_by_subj": subject, "batch": most}
    return f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question)


def stored_of(reply: bytes) -> StoredMessage | EngineError | None:
    """Read the answer; None where there is no such message."""
    try:
        found = _finds.decode(reply)
    except msgspec.MsgspecError as error:
        return refusal(_unreadable(error))
    if found.error is not None:
        return None if found.error.err_code == NO_MESSAGE else refusal(found.error)
    if found.message is None:
        return EngineError("JetStream says neither a message nor why")
    message = found.message
    return StoredMessage(message.seq, message.time.timestamp(), message.data)


def ack_of(reply: bytes) -> PublishAck:
    """Read the answer to a message that was to be stored."""
    try:
        return _acks.decode(reply)
    except msgspec.MsgspecError as error:
        return PublishAck(error=_unreadable(error))


def refusal(problem: JetStreamProblem) -> EngineError:
    """Say what JetStream did not do."""
    return EngineError(f"JetStream: {problem.description}")


def ttl_of(seconds: float) -> str:
    """Write how long a message is kept: whole seconds, one at least."""
    return str(min(max(int(-(-seconds // 1)), 1), MOST_TTL))


def info_of(reply: bytes) -> StreamInfo:
    """Read what a stream is, or why it is not."""
    try:
        return _infos.decode(reply)
    except msgspec.MsgspecError as error:
        return StreamInfo(error=_unreadable(error))


def _unreadable(error: msgspec.MsgspecError) -> JetStreamProblem:
    return JetStreamProblem(0, f"its answer cannot be read: {error}")
