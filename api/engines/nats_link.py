"""One connection to a NATS server, made again whenever it breaks.

nats-py's own reconnecting is off: it would keep what was asked, for ever, and lose in silence what
was sent meanwhile. One inbox takes all answers; each question has a number and a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoServersError, SlowConsumerError

from api.engines.base import EngineError
from api.engines.nats_target import Target

logger = logging.getLogger("itemwire.engines")

REQUEST_SECONDS: Final = 1.3  # and what a request waits before it, together less than an answer may
LOOK_SECONDS: Final = 0.1
CONNECT_SECONDS: Final = 1.0
OPEN_SECONDS: Final = 4.0
CLOSE_SECONDS: Final = 0.3
BEAT_SECONDS: Final = 0.5
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
BURST: Final = 64  # written at once, before others have a turn
MAX_PENDING: Final = 20_000
MAX_PENDING_BYTES: Final = 64 * 1_048_576

OLDEST: Final = (2, 11)

STATUS: Final = "Status"
NO_ANSWER: Final = "503"
END: Final = "204"

PROBLEMS: Final = (NatsError, OSError, TimeoutError)

Heed = Callable[[Msg], None]
Told = Callable[[list[Msg] | EngineError], None]
"""How an answer comes: one message, or all of those that were asked for."""


class Silent(EngineError):
    """The server did not answer in time."""


class Request:
    """A question on its way."""

    __slots__ = ("answer", "deadline", "is_many", "messages", "size")

    def __init__(self, answer: Told, deadline: float, size: int, *, is_many: bool) -> None:
        self.answer = answer
        self.deadline = deadline
        self.size = size
        self.is_many = is_many
        self.messages: list[Msg] = []


class Heard:
    """A subject that this node hears."""

    __slots__ = ("confirmed", "heed", "subscription")

    def __init__(self, heed: Heed, confirmed: Callable[[], None]) -> None:
        self.heed = heed
        self.confirmed = confirmed
        self.subscription: Subscription | None = None

    async def take(self, message: Msg) -> None:
        """Hand a message on; a fault of whoever takes it must not end the hearing."""
        try:
            self.heed(message)
        except Exception:
            logger.exception("delivery_failed")


class Link:
    """Asks and hears; while it is not ready, whoever asks is told at once.

    `prepare` makes the server ready on each new connection, and `beat` looks now and then whether it
    still is; `ready` is called each time it is again.
    """

    def __init__(
        self,
        target: Target,
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
        self._number = 0
        self._pending: dict[int, Request] = {}
        self._pending_bytes = 0
        self._heard: dict[str, Heard] = {}
        self._to_send: deque[Callable[[Client], Awaitable[object]]] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._problem = ""
        self.is_ready = False

    @property
    def max_payload(self) -> int:
        """Tell how large a message may be."""
        return self._client.max_payload if self._client is not None else 0

    async def start(self) -> None:
        """Connect; EngineError says why not."""
        await self._connect()
        self._become_ready()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Disconnect, and stay so."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
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
        if self.is_ready:
            self._ask(subject, data, answer, headers, is_many=is_many)
        else:
            answer(EngineError("the engine is away"))

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> Msg:
        """Ask something while it is being made ready, too; EngineError if there is no answer."""
        answered: asyncio.Future[list[Msg] | EngineError]
        answered = asyncio.get_running_loop().create_future()

        def answer(result: list[Msg] | EngineError) -> None:
            if not answered.done():
                answered.set_result(result)

        self._ask(subject, data, answer, headers)
        result = await answered
        if isinstance(result, EngineError):
            raise result
        return result[0]

    def tell(self, subject: str, data: bytes) -> None:
        """Say something that nobody answers."""
        if self.is_ready:
            self._send(lambda client: client.publish(subject, data))

    def hear(self, subject: str, heed: Heed, confirmed: Callable[[], None]) -> None:
        """Hear a subject; `confirmed` is called whenever that holds, or holds again."""
        self._heard[subject] = Heard(heed, confirmed)
        if self._client is not None:
            self._send(lambda client: self._subscribe(client, subject))

    def leave(self, subject: str) -> None:
        """Hear it no more."""
        heard = self._heard.pop(subject, None)
        if heard is not None and self._client is not None:
            self._send(lambda client: self._unsubscribe(client, heard))

    def _ask(
        self,
        subject: str,
        data: bytes,
        answer: Told,
        headers: dict[str, str] | None,
        *,
        is_many: bool = False,
    ) -> None:
        size = len(data)
        if self._client is None:
            answer(EngineError("the engine is away"))
            return
        if len(self._pending) >= MAX_PENDING or self._pending_bytes + size > MAX_PENDING_BYTES:
            answer(EngineError("more waits for the engine than there is room for"))
            return
        loop = asyncio.get_running_loop()
        if not self._pending:
            self._looked_at = loop.time()
            loop.call_later(LOOK_SECONDS, self._look)
        self._number += 1
        request = Request(answer, loop.time() + REQUEST_SECONDS, size, is_many=is_many)
        self._pending[self._number] = request
        self._pending_bytes += size
        reply = f"{self._inbox}.{self._number}"
        self._send(lambda client: client.publish(subject, data, reply, headers))

    def _send(self, send: Callable[[Client], Awaitable[object]]) -> None:
        self._to_send.append(send)
        self._wake.set()

    async def _answered(self, message: Msg) -> None:
        """Take an answer; those that are many end with one that says so."""
        number = int(message.subject.rpartition(".")[2])
        request = self._pending.get(number)
        if request is None:
            return  # it came too late
        headers = message.headers
        status = headers.get(STATUS) if headers else None
        if status == NO_ANSWER:
            self._settle(number, EngineError("JetStream is away, or is not enabled"))
            return
        request.messages.append(message)
        if not request.is_many or status is not None:
            self._settle(number, request.messages)

    def _settle(self, number: int, result: list[Msg] | EngineError) -> None:
        request = self._pending.pop(number)
        self._pending_bytes -= request.size
        try:
            request.answer(result)
        except Exception:
            # What one asker's code throws must not cost all others their answers.
            logger.exception("answer_failed")

    def _look(self) -> None:
        """Answer what has waited too long; first let in what came while this process was held up."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        was_held_up = now - self._looked_at > 2 * LOOK_SECONDS
        self._looked_at = now
        while self._pending and not was_held_up:
            number, request = next(iter(self._pending.items()))
            if request.deadline > now:
                break
            self._settle(number, Silent(self._problem or "the engine did not answer in time"))
        if self._pending:
            loop.call_later(LOOK_SECONDS, self._look)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            problem = await self._serve()
            logger.warning("engine_lost problem=%s", problem)
            await self._disconnect(problem)
            while True:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the nodes
                try:
                    await self._connect()
                    break
                except EngineError as error:
                    if str(error) != problem:  # else it would be said once a second
                        problem = str(error)
                        logger.warning("engine_lost problem=%s", problem)
                    pause = min(pause * 2, LONGEST_PAUSE)
            self._become_ready()
            logger.info("engine_connected")
            pause = FIRST_PAUSE

    async def _serve(self) -> str:
        """Look after the connection until it breaks; tell why."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), BEAT_SECONDS)
            if self._closed.is_set():
                return self._problem or "the connection broke"
            try:
                await (self._beat() if self.is_ready else self._prepare())
            except Silent as error:
                return str(error)
            except EngineError as error:
                if self.is_ready and not self._closed.is_set():
                    logger.warning("engine_lost problem=%s", error)
                self.is_ready = False
            else:
                self._become_ready()

    def _become_ready(self) -> None:
        if not self.is_ready:
            self.is_ready = True
            self._ready()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._open()
                await self._prepare()
        except (EngineError, *PROBLEMS) as error:
            reason = self._reason_of(error)
            await self._disconnect(reason)
            raise EngineError(reason) from None
        except asyncio.CancelledError:
            await self._disconnect("the engine was stopped")
            raise

    async def _open(self) -> None:
        client = self._client = Client()
        closed = self._closed = asyncio.Event()
        self._problem = ""

        async def on_closed() -> None:
            closed.set()

        await client.connect(
            **self._options(),
            error_cb=self._on_error,
            closed_cb=on_closed,
        )
        version = client.connected_server_version
        if (version.major, version.minor) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise EngineError(f"the server is older than {oldest}: it is {version}")
        self._inbox = client.new_inbox()
        await client.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._to_send.clear()
        for subject in self._heard:
            self._send(lambda client, subject=subject: self._subscribe(client, subject))
        self._writer = asyncio.create_task(self._write(client))

    def _options(self) -> dict[str, Any]:
        target = self._target
        options: dict[str, Any] = {
            "servers": list(target.servers),
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": CONNECT_SECONDS,
            "name": "itemwire",
        }
        tls = target.tls() if target.is_secure or target.tls_ca else None
        if tls is not None:
            options["tls"] = tls
        if target.secret is not None:
            secret = _guarded(target.secret, tls)
            options |= {"token": secret} if target.user is None else {"password": secret}
        if target.user is not None:
            options["user"] = _guarded(target.user, tls)
        return options

    async def _on_error(self, error: Exception) -> None:
        """Hear what nats-py has to say; what a full queue threw away is read again."""
        if isinstance(error, SlowConsumerError):
            heard = self._heard.get(error.sub.subject)
            if heard is not None:
                heard.confirmed()
        else:
            self._problem = self._reason_of(error)

    async def _subscribe(self, client: Client, subject: str) -> None:
        heard = self._heard.get(subject)
        if heard is None:
            return  # it was left meanwhile
        heard.subscription = await client.subscribe(subject, cb=heard.take)
        heard.confirmed()

    async def _unsubscribe(self, client: Client, heard: Heard) -> None:
        if heard.subscription is not None:
            await heard.subscription.unsubscribe()

    async def _write(self, client: Client) -> None:
        """Send what is to be sent, in its order."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            count = 0
            while self._to_send:
                send = self._to_send.popleft()
                try:
                    await send(client)
                except PROBLEMS as error:
                    logger.debug("send_failed problem=%s", error)  # its deadline tells who asked
                count += 1
                if count % BURST == 0:
                    await asyncio.sleep(0)

    async def _disconnect(self, problem: str) -> None:
        self.is_ready = False
        client, self._client = self._client, None
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.wait([writer])
        self._to_send.clear()
        for number in list(self._pending):
            self._settle(number, EngineError(f"the answer was lost: {problem}"))
        if client is not None:
            with contextlib.suppress(*PROBLEMS):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.close()

    def _reason_of(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return self._problem or "no answer in time"
        if isinstance(error, NoServersError):
            return self._problem or "cannot connect"
        if isinstance(error, OSError):
            return error.strerror or "cannot connect"
        return str(error).removeprefix("nats: ").partition("\n")[0] or type(error).__name__


def _guarded(secret: str, tls: ssl.SSLContext | None) -> Callable[[], str]:
    """Say a secret only once the connection is encrypted, where it has to be."""

    def say() -> str:
        if tls is not None and not tls.session_stats()["connect_good"]:
            raise NatsError("the server does not encrypt")
        return secret

    return say
