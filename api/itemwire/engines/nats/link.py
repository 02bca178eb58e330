"""One connection to a NATS server, made again whenever it breaks.

nats-py's own reconnecting is off: it waits for fixed times, keeps what was asked for whoever has
long been told otherwise, and says nothing of what was sent meanwhile.
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

from itemwire.engines.base import EngineError
from itemwire.engines.nats.client import connect
from itemwire.engines.nats.requests import NatsRequests, NoAnswerInTime, Told
from itemwire.engines.nats.target import NatsTarget
from itemwire.engines.tasks import backoff, end

logger = logging.getLogger("itemwire.engines")

OPEN_SECONDS: Final = 8.0
CLOSE_SECONDS: Final = 0.3
BEAT_SECONDS: Final = 0.5
BURST: Final = 64  # written at once, before others have a turn

PROBLEMS: Final = (NatsError, OSError, TimeoutError)

Apply = Callable[[Msg], None]


class NatsSubscription:
    """A subject that this node hears."""

    __slots__ = ("apply", "confirmed", "subscription")

    def __init__(self, apply: Apply, confirmed: Callable[[], None]) -> None:
        self.apply = apply
        self.confirmed = confirmed
        self.subscription: Subscription | None = None

    async def take(self, message: Msg) -> None:
        """Hand a message on; a fault of whoever takes it must not end the hearing."""
        try:
            self.apply(message)
        except Exception:
            logger.exception("delivery_failed")

    async def end(self) -> None:
        """Hear it no more."""
        if self.subscription is not None:
            await self.subscription.unsubscribe()


class NatsConnection:
    """Asks and hears; while it is not ready, whoever asks is told at once.

    `prepare` makes the server ready on each new connection, and `beat` looks now and then whether
    it still is; `ready` is called each time it is again.
    """

    def __init__(
        self,
        target: NatsTarget,
        prepare: Callable[[], Awaitable[None]],
        beat: Callable[[], Awaitable[None]],
        ready: Callable[[], None],
    ) -> None:
        self._target = target
        self._prepare = prepare
        self._beat = beat
        self._ready = ready
        self._client: Client | None = None
        self._closed = asyncio.Event()
        self._inbox = ""
        self._requests = NatsRequests()
        self._heard: dict[str, NatsSubscription] = {}
        self._to_send: deque[Callable[[Client], Awaitable[object]]] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.is_ready = False

    @property
    def max_payload(self) -> int:
        """Tell how large a message may be."""
        return self._client.max_payload if self._client is not None else 0

    def take_absence(self) -> bool:
        """Tell whether something was asked of what is not there, since this was asked last."""
        is_absent, self._requests.is_absent = self._requests.is_absent, False
        return is_absent

    async def start(self) -> None:
        """Connect; EngineError says why not."""
        await self._connect()
        self._become_ready()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Disconnect, and stay so."""
        task, self._task = self._task, None
        await end(task)
        await self._disconnect("the engine was stopped")
        self._heard.clear()

    def ask(
        self,
        subject: str,
        data: bytes,
        answer: Told,
        headers: dict[str, str] | None = None,
        *,
        is_many: bool = False,
    ) -> None:
        """Ask something; answer once, in time."""
        if not self.is_ready:
            answer(EngineError("the engine is away"))
        elif not self._requests.has_room_for(len(data)):
            answer(EngineError("more waits for the engine than there is room for"))
        else:
            self._ask(subject, data, answer, headers, is_many=is_many)

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> Msg:
        """Ask something while it is being made ready, too; EngineError if there is no answer."""
        answered: asyncio.Future[list[Msg] | EngineError]
        answered = asyncio.get_running_loop().create_future()

        def answer(result: list[Msg] | EngineError) -> None:
            if not answered.done():
                answered.set_result(result)

        self._ask(subject, data, answer, headers, is_patient=not self.is_ready)
        result = await answered
        if isinstance(result, EngineError):
            raise result
        return result[0]

    def tell(self, subject: str, data: bytes) -> None:
        """Say something that nobody answers."""
        if self.is_ready:
            self._send(lambda client: client.publish(subject, data))

    def hear(self, subject: str, apply: Apply, confirmed: Callable[[], None]) -> None:
        """Hear a subject; `confirmed` is called whenever that holds, or holds again."""
        heard = self._heard[subject] = NatsSubscription(apply, confirmed)
        if self._client is not None:
            self._send(lambda client: self._subscribe(client, subject, heard))

    def leave(self, subject: str) -> None:
        """Hear it no more."""
        heard = self._heard.pop(subject, None)
        if heard is not None and self._client is not None:
            self._send(lambda _client: heard.end())

    def _ask(
        self,
        subject: str,
        data: bytes,
        answer: Told,
        headers: dict[str, str] | None,
        *,
        is_many: bool = False,
        is_patient: bool = False,
    ) -> None:
        if self._client is None:
            answer(EngineError("the engine is away"))
            return
        size = len(data)
        number = self._requests.add(answer, size, is_many=is_many, is_patient=is_patient)
        reply = f"{self._inbox}.{number}"
        self._send(lambda client: client.publish(subject, data, reply, headers))

    def _send(self, send: Callable[[Client], Awaitable[object]]) -> None:
        self._to_send.append(send)
        self._wake.set()

    async def _keep(self) -> None:
        while True:
            problem = await self._serve()
            logger.warning("engine_lost problem=%s", problem)
            await self._disconnect(problem)
            for pause in backoff():
                await asyncio.sleep(pause)
                try:
                    await self._connect()
                    break
                except EngineError as error:
                    if str(error) != problem:  # else it would be said once a second
                        problem = str(error)
                        logger.warning("engine_lost problem=%s", problem)
            self._become_ready()

    async def _serve(self) -> str:
        """Look after the connection until it breaks; tell why."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), BEAT_SECONDS)
            if self._closed.is_set():
                return self._requests.problem or "the connection broke"
            try:
                await (self._beat() if self.is_ready else self._prepare())
            except NoAnswerInTime as error:
                return str(error)
            except EngineError as error:
                if self.is_ready and not self._closed.is_set():
                    logger.warning("engine_lost problem=%s", error)
                self.is_ready = False
            except Exception:
                # Without the next connection the engine would be away for ever.
                logger.exception("engine_failed")
                return "see the log"
            else:
                self._become_ready()

    def _become_ready(self) -> None:
        if not self.is_ready:
            self.is_ready = True
            logger.info("engine_connected")
            self._ready()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._open()
                await self._prepare()
        except (EngineError, ValueError, *PROBLEMS) as error:
            reason = self._reason_of(error)
            await self._disconnect(reason)
            raise EngineError(reason) from None
        except asyncio.CancelledError:
            await self._disconnect("the engine was stopped")
            raise
        except Exception as error:
            logger.exception("engine_failed")
            await self._disconnect("see the log")
            raise EngineError("see the log") from error

    async def _open(self) -> None:
        closed = self._closed = asyncio.Event()
        self._requests.problem = ""

        async def on_closed() -> None:
            closed.set()

        client = self._client = Client()
        await connect(client, self._target, self._on_error, on_closed)
        self._inbox = client.new_inbox()
        await client.subscribe(
            f"{self._inbox}.*", cb=self._requests.take, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._to_send.clear()
        for subject, heard in self._heard.items():
            self._send(partial(self._subscribe, subject=subject, heard=heard))
        self._writer = asyncio.create_task(self._write(client))

    async def _on_error(self, error: Exception) -> None:
        """Hear what nats-py has to say; what a full queue threw away is read again."""
        if isinstance(error, SlowConsumerError):
            heard = self._heard.get(error.sub.subject)
            if heard is not None:
                heard.confirmed()
        else:
            self._requests.problem = self._reason_of(error)

    async def _subscribe(self, client: Client, subject: str, heard: NatsSubscription) -> None:
        if self._heard.get(subject) is heard:  # else it was left meanwhile
            heard.subscription = await client.subscribe(subject, cb=heard.take)
            heard.confirmed()

    async def _write(self, client: Client) -> None:
        """Send what is to be sent, in its order."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            count = 0
            while self._to_send:
                send = self._to_send.popleft()
                with contextlib.suppress(*PROBLEMS):  # its deadline tells who asked
                    await send(client)
                count += 1
                if count % BURST == 0:
                    await asyncio.sleep(0)

    async def _disconnect(self, problem: str) -> None:
        self.is_ready = False
        client, self._client = self._client, None
        writer, self._writer = self._writer, None
        await end(writer)
        self._to_send.clear()
        self._requests.fail(problem)
        if client is not None:
            with contextlib.suppress(*PROBLEMS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.close()

    def _reason_of(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return self._requests.problem or "no answer in time"
        if isinstance(error, NoServersError):
            return self._requests.problem or "cannot connect"
        if isinstance(error, OSError):
            return error.strerror or "cannot connect"
        return str(error).removeprefix("nats: ").partition("\n")[0] or type(error).__name__
