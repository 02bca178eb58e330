"""Encodes requests for what JetStream has stored, and decodes its answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg

from itemwire.engines.base import Answer, EngineError
from itemwire.engines.nats.faults import STARTING, fault_of
from itemwire.engines.nats.records import StreamMessage
from itemwire.engines.tasks import StillStarting

# Headers of requests, and of what is answered.
LAST_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence"
TTL: Final = "Nats-TTL"
SEQUENCE: Final = "Nats-Sequence"
TIME: Final = "Nats-Time-Stamp"
PENDING: Final = "Nats-Num-Pending"
LAST: Final = "Nats-Last-Sequence"
STATUS: Final = "Status"

NOTHING: Final = "404"
DONE: Final = "204"
MOST_TTL: Final = 10 * 365 * 86_400

NO_STREAM: Final = 10059
NO_MESSAGE: Final = 10037
MOVED_ON: Final = frozenset({10071, 10164})  # the last message of the subject is another one

STRANGE: Final = "JetStream does not answer as it should"


class JetStreamProblem(msgspec.Struct, frozen=True):
    """Why JetStream did not do what it was asked."""

    err_code: int = 0
    description: str = ""


class PublishAck(msgspec.Struct, frozen=True):
    """The answer to a message that was to be stored: its sequence, or why it was not."""

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
    """The sequence of a stream's last message."""

    last_seq: int


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream's configuration and state, and the server's time; or why there is no stream."""

    config: dict[str, Any] = {}
    state: StreamState = StreamState(0)
    ts: datetime | None = None
    error: JetStreamProblem | None = None


_acks: Final = msgspec.json.Decoder(PublishAck)
_finds: Final = msgspec.json.Decoder(_Found)
_infos: Final = msgspec.json.Decoder(StreamInfo)


def last_of(stream: str, subject: str) -> tuple[str, bytes]:
    """Return the request for a subject's last message, which the stream's leader answers."""
    return f"$JS.API.STREAM.MSG.GET.{stream}", b'{"last_by_subj":"%b"}' % subject.encode()


def from_on(stream: str, subject: str, begin: int, most: int) -> tuple[str, bytes]:
    """Return the request for a subject's messages from a sequence on."""
    question = {"seq": begin, "next_by_subj": subject, "batch": most}
    return f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question)


def page_of(reply: list[Msg]) -> tuple[list[Msg], int] | EngineError:
    """Return the messages of an answer to `from_on`, and where to read on; 0 if that is all."""
    *messages, end = reply
    headers = end.headers or {}
    if headers.get(STATUS) not in {DONE, NOTHING} or not all(map(_is_whole, messages)):
        return EngineError(STRANGE)
    has_more = headers.get(STATUS) == DONE and int(headers.get(PENDING, 0)) > 0
    return messages, int(headers[LAST]) + 1 if has_more else 0


def _is_whole(message: Msg) -> bool:
    return {SEQUENCE, TIME} <= (message.headers or {}).keys()


def sequence_of(message: Msg) -> int:
    """Return the sequence that a message has in its stream."""
    return int((message.headers or {})[SEQUENCE])


def time_of(message: Msg) -> float:
    """Return when a message was stored, by the server's clock."""
    written = (message.headers or {}).get(TIME, "")
    return datetime.fromisoformat(written).timestamp()


def stored_of(reply: list[Msg] | EngineError) -> StreamMessage | EngineError | None:
    """Return the message that answers `last_of`; None if there is none."""
    return reply if isinstance(reply, EngineError) else read_stored(reply[0].data)


def read_stored(data: bytes) -> StreamMessage | EngineError | None:
    """Return the message that an answer contains; None if there is none."""
    try:
        found = _finds.decode(data)
    except msgspec.MsgspecError as error:
        return refusal(_unreadable(error))
    if found.error is not None:
        return None if found.error.err_code == NO_MESSAGE else refusal(found.error)
    if found.message is None:
        return EngineError("JetStream says neither a message nor why")
    message = found.message
    return StreamMessage(message.seq, message.time.timestamp(), message.data)


def ack_of(reply: bytes) -> PublishAck:
    """Return the answer to a message that was to be stored."""
    try:
        return _acks.decode(reply)
    except msgspec.MsgspecError as error:
        return PublishAck(error=_unreadable(error))


def when_stored(answer: Answer[None]) -> Callable[[list[Msg] | EngineError], None]:
    """Return a callback that answers None once a message is stored, or why it was not."""

    def stored(reply: list[Msg] | EngineError) -> None:
        if isinstance(reply, EngineError):
            answer(reply)
            return
        error = ack_of(reply[0].data).error
        answer(None if error is None else refusal(error))

    return stored


def refusal(problem: JetStreamProblem, of: str = "JetStream") -> EngineError:
    """Return an error that says what JetStream refused."""
    kind = StillStarting if problem.err_code in STARTING else EngineError
    return kind(f"{of}: {problem.description}", fault_of(problem.err_code))


def ttl_of(seconds: float) -> str:
    """Return how long a message is kept, as JetStream reads it: whole seconds, at least one."""
    return str(min(max(int(-(-seconds // 1)), 1), MOST_TTL))


def info_of(reply: bytes) -> StreamInfo:
    """Return the state of a stream from JetStream's answer."""
    try:
        return _infos.decode(reply)
    except msgspec.MsgspecError as error:
        return StreamInfo(error=_unreadable(error))


def _unreadable(error: msgspec.MsgspecError) -> JetStreamProblem:
    return JetStreamProblem(0, f"its answer cannot be read: {error}")
