"""One connection to a NATS server, made anew whenever it breaks.

nats-py's own reconnecting is switched off: it waits for fixed times, keeps requests whose callers
have long been refused, and does not say what was missed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoServersError, SlowConsumerError
from typing_extensions import override

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import LATE
from itemwire.engines.faults import FORBIDDEN, EngineFault
from itemwire.engines.nats.client import connect, subscribe
from itemwire.engines.nats.faults import NatsViolation
from itemwire.engines.nats.requests import (
    NatsRequests,
    NoAnswerInTime,
    NobodyThere,
    TakeReply,
)
from itemwire.engines.nats.target import NatsTarget
from itemwire.engines.networked import AWAY, NO_ANSWER, NO_ROOM
from itemwire.engines.tasks import ReconnectingLink, StillStarting, end

logger = logging.getLogger("itemwire.engines")

BROKE: Final = "the connection broke"
OPEN_SECONDS: Final = 8.0
CLOSE_SECONDS: Final = 0.3
BEAT_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 0.5  # before a request that may be lost is made once more
MOST_ATTEMPTS: Final = 12
BURST: Final = 64  # written at once, before other tasks have a turn

PROBLEMS: Final = (NatsError, OSError, TimeoutError)

TakeMessage = Callable[[Msg], None]
Send = Callable[[Client], Awaitable[object]]


class NatsSubscription:
    """A subject that this node subscribes to, on one connection after the other."""

    __slots__ = ("confirm", "subscription", "take")

    def __init__(self, take: TakeMessage, confirm: Callable[[], None]) -> None:
        self.take = take
        self.confirm = confirm
        self.subscription: Subscription | None = None

    async def receive(self, message: Msg) -> None:
        """Hand a message on; an exception of the receiver must not end the subscription."""
        try:
            self.take(message)
        except Exception:
            logger.exception("delivery_failed")

    async def end(self) -> None:
        """Unsubscribe."""
        if self.subscription is not None:
            await self.subscription.unsubscribe()


class NatsConnection(ReconnectingLink):
    """Asks and subscribes; while it is not ready, callers are refused at once.

    A connection alone is of no use: the streams must be there as well. `prepare` makes the server
    ready on each new connection, and again after it was found not to be; `beat` checks now and
    then whether it still is; `ready` is called each time it has become so.
    """

    def __init__(
        self,
        target: NatsTarget,
        prepare: Callable[[], Awaitable[None]],
        beat: Callable[[], Awaitable[None]],
        ready: Callable[[], None],
    ) -> None:
        super().__init__("nats")
        self._target = target
        self._prepare = prepare
        self._beat = beat
        self._on_ready = ready
        self._client: Client | None = None
        self._closed = asyncio.Event()
        self._inbox = ""
        self._requests = NatsRequests()
        self._subscriptions: dict[str, NatsSubscription] = {}
        self._to_send: deque[Send] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._is_prepared = False
        self._refused = ""  # what may not be subscribed to: who does not hear is not connected
        self._sent: set[str] = set()  # subjects of what nobody answers, in small letters
        self._refused_sends: dict[str, str] = {}

    @property
    @override
    def _is_alive(self) -> bool:
        return self._client is not None and self._client.is_connected and not self._refused

    @property
    def is_ready(self) -> bool:
        """Return whether it is connected, and the streams are there."""
        return self._is_prepared and self.is_connected

    @property
    def max_payload(self) -> int:
        """Return how many bytes the server takes in one message."""
        return self._client.max_payload if self._client is not None else 0

    def pop_found_nothing(self) -> bool:
        """Return whether a request found nobody to answer it, since this was last asked."""
        found_nothing = self._requests.found_nothing
        self._requests.found_nothing = False
        return found_nothing

    def ask(
        self,
        subject: str,
        data: bytes,
        answer: TakeReply,
        headers: dict[str, str] | None = None,
        *,
        is_many: bool = False,
    ) -> int:
        """Send a request; answer once, in time. Return its number, 0 if it was not sent."""
        if not self.is_ready:
            answer(EngineError(AWAY))
        elif not self._requests.has_room_for(len(data)):
            answer(EngineError(NO_ROOM))
        else:
            return self._ask(subject, data, answer, headers, is_many=is_many)
        return 0

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> Msg:
        """Return the answer to a request, which may be made before the server is ready too.

        Before that it is made again and again until somebody answers: requests get lost while a
        cluster chooses who leads a stream. Each of them may be repeated.
        """
        is_ready = self.is_ready
        answered: asyncio.Future[list[Msg] | EngineError]
        answered = asyncio.get_running_loop().create_future()

        def answer(result: list[Msg] | EngineError) -> None:
            if not answered.done() and (is_ready or not _is_lost(subject, result)):
                answered.set_result(result)

        for _ in range(1 if is_ready else MOST_ATTEMPTS):
            self._ask(subject, data, answer, headers, is_patient=not is_ready)
            await asyncio.wait([answered], timeout=None if is_ready else AGAIN_SECONDS)
            if answered.done():
                break
            if self._closed.is_set():  # while it was being made ready
                raise EngineError(self._requests.problem or BROKE)
        else:
            raise NoAnswerInTime(self._requests.problem or LATE)
        result = answered.result()
        if isinstance(result, EngineError):
            raise result
        return result[0]

    def silence_of(self, number: int) -> EngineFault:
        """Return why a request has no answer so far, if it still waits for one."""
        return self._requests.silence_of(number)

    def send(self, subject: str, data: bytes, as_one_of: str = "") -> EngineError | None:
        """Send something that nobody answers; return why not, or why the one before was refused.

        Of many subjects that begin alike, the one before is any of them: `as_one_of` is that.
        """
        if not self.is_ready:
            return EngineError(AWAY)
        name = (as_one_of or subject).lower()
        self._sent.add(name)
        self._send(lambda client: client.publish(subject, data))
        refusal = self._refused_sends.pop(name, "")
        return EngineError(refusal, FORBIDDEN) if refusal else None

    def subscribe(self, subject: str, take: TakeMessage, confirm: Callable[[], None]) -> None:
        """Subscribe to a subject; `confirm` is called each time that has been done."""
        subscription = self._subscriptions[subject] = NatsSubscription(take, confirm)
        if self._client is not None:
            self._send(partial(self._subscribe, subject=subject, subscription=subscription))

    def unsubscribe(self, subject: str) -> None:
        """Unsubscribe from a subject."""
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None and self._client is not None:
            self._send(lambda _client: subscription.end())

    def _ask(
        self,
        subject: str,
        data: bytes,
        answer: TakeReply,
        headers: dict[str, str] | None,
        *,
        is_many: bool = False,
        is_patient: bool = False,
    ) -> int:
        if self._client is None:
            answer(EngineError(AWAY))
            return 0
        size = len(data)
        number = self._requests.add(subject, answer, size, is_many=is_many, is_patient=is_patient)
        reply = f"{self._inbox}.{number}"
        self._send(lambda client: client.publish(subject, data, reply, headers))
        return number

    def _send(self, send: Send) -> None:
        self._to_send.append(send)
        self._wake.set()

    @override
    async def _open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._open_client()
                await self._prepare()  # it is answered after what was refused to be subscribed to
        except (EngineError, ValueError, *PROBLEMS) as error:
            is_starting = isinstance(error, (NoAnswerInTime, StillStarting)) and not self._refused
            kind = StillStarting if is_starting else EngineError
            raise kind(self._refused or self._reason_of(error)) from None
        if self._refused:
            raise EngineError(self._refused)

    @override
    async def _serve(self) -> str:
        self._become_ready()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), BEAT_SECONDS)
            if not self.is_connected:
                return self._refused or self._requests.problem or BROKE
            try:
                await (self._beat() if self._is_prepared else self._prepare())
            except NoAnswerInTime as error:
                return str(error)
            except EngineError as error:
                # The connection is good, and JetStream is not: it may be choosing a leader.
                if self.is_ready:
                    logger.warning("engine_lost link=jetstream problem=%s", error)
                self._is_prepared = False
            else:
                if not self._is_prepared:
                    logger.info("engine_connected link=jetstream")
                    self._become_ready()

    def _become_ready(self) -> None:
        self._is_prepared = True
        self._on_ready()

    @override
    async def _close(self, problem: str) -> None:
        self._is_prepared = False
        client, self._client = self._client, None
        writer, self._writer = self._writer, None
        await end(writer)
        self._to_send.clear()
        self._requests.fail(problem)
        if client is not None:
            with contextlib.suppress(*PROBLEMS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.close()

    async def _open_client(self) -> None:
        closed = self._closed = asyncio.Event()
        self._requests.problem = self._refused = ""
        self._refused_sends.clear()

        async def on_closed() -> None:
            closed.set()

        files = self._target.read_files()  # before there is a client, which could not be closed
        client = self._client = Client()
        await connect(client, self._target, files, self._on_error, on_closed)
        self._requests.problem = ""  # another server of the cluster may have refused before
        self._inbox = client.new_inbox()
        await subscribe(client, f"{self._inbox}.*", self._requests.take, is_bounded=False)
        self._to_send.clear()
        for subject, subscription in self._subscriptions.items():
            self._send(partial(self._subscribe, subject=subject, subscription=subscription))
        self._writer = asyncio.create_task(self._write(client))

    async def _on_error(self, error: Exception) -> None:
        """Take an error of nats-py; messages that a full queue threw away are read again."""
        if isinstance(error, SlowConsumerError):
            subscription = self._subscriptions.get(error.sub.subject)
            if subscription is not None:
                subscription.confirm()
        elif (violation := NatsViolation.read(str(error))) is not None:
            self._take_refusal(violation, self._reason_of(error))
        else:
            self._requests.problem = self._reason_of(error)

    def _take_refusal(self, violation: NatsViolation, problem: str) -> None:
        """Refuse what this user may not publish; without what it may not hear, connect anew."""
        if not violation.is_publish:
            self._refused = problem
            self._closed.set()
        elif violation.subject in self._sent:
            self._refused_sends[violation.subject] = problem
        elif (group := violation.subject.rpartition(".")[0]) in self._sent:
            self._refused_sends[group] = problem
        else:
            self._requests.refuse(violation.subject, problem)

    async def _subscribe(
        self, client: Client, subject: str, subscription: NatsSubscription
    ) -> None:
        if self._subscriptions.get(subject) is subscription:  # else it was left meanwhile
            subscription.subscription = await subscribe(client, subject, subscription.receive)
            subscription.confirm()

    async def _write(self, client: Client) -> None:
        """Send what is to be sent, in its order."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            count = 0
            while self._to_send:
                send = self._to_send.popleft()
                with contextlib.suppress(*PROBLEMS):  # its deadline tells the caller
                    await send(client)
                count += 1
                if count % BURST == 0:
                    await asyncio.sleep(0)

    def _reason_of(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return self._requests.problem or NO_ANSWER
        if isinstance(error, NoServersError):
            return self._requests.problem or "cannot connect"
        if isinstance(error, OSError):
            return error.strerror or "cannot connect"
        return str(error).removeprefix("nats: ").partition("\n")[0] or type(error).__name__


def _is_lost(subject: str, result: list[Msg] | EngineError) -> bool:
    """Return whether a request has to be made again: a stream is led by nobody as yet.

    Where nobody listens to JetStream's own subjects there is no JetStream.
    """
    return isinstance(result, NoAnswerInTime) or (
        isinstance(result, NobodyThere) and not subject.startswith("$JS.API.")
    )
