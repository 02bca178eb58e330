"""Requests to a NATS server that wait for answers: one inbox, a number for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import LATE, tell
from itemwire.engines.faults import FORBIDDEN, EngineFault
from itemwire.engines.nats.faults import fault_of_silence

REQUEST_SECONDS: Final = 1.3  # with the wait before it is sent still less than ANSWER_SECONDS
PATIENT_SECONDS: Final = 3.0  # for what makes the server ready, while nobody else may ask
LOOK_SECONDS: Final = 0.1
MAX_PENDING: Final = 20_000
MAX_PENDING_BYTES: Final = 64 * 1_048_576

STATUS: Final = "Status"
NO_ANSWER: Final = "503"

TakeReply = Callable[[list[Msg] | EngineError], None]
"""The callback for an answer: one message, or several of which the last says that it is the end."""


class NoAnswerInTime(EngineError):
    """The server did not answer in time."""


class NobodyThere(EngineError):
    """Nobody listens to the subject of the request."""


class PendingRequest:
    """A request on its way, and the messages of its answer that have arrived."""

    __slots__ = ("answer", "deadline", "is_many", "is_patient", "messages", "size", "subject")

    def __init__(
        self,
        subject: str,
        answer: TakeReply,
        now: float,
        size: int,
        *,
        is_many: bool,
        is_patient: bool,
    ) -> None:
        self.subject = subject
        self.answer = answer
        self.deadline = now + (PATIENT_SECONDS if is_patient else REQUEST_SECONDS)
        self.size = size
        self.is_many = is_many
        self.is_patient = is_patient
        self.messages: list[Msg] = []


class NatsRequests:
    """The requests that are on their way; each of them is answered once, in time."""

    def __init__(self) -> None:
        self._pending: dict[int, PendingRequest] = {}
        self._bytes = 0
        self._number = 0
        self._answered = 0  # the newest request that the server has answered
        self._is_looking = False
        self._looked_at = 0.0
        self.problem = ""  # which the server reported, of no request in particular
        self.found_nothing = False  # there was nobody to answer a request

    def has_room_for(self, size: int) -> bool:
        """Return whether one more request may wait."""
        return len(self._pending) < MAX_PENDING and self._bytes + size <= MAX_PENDING_BYTES

    def add(
        self,
        subject: str,
        answer: TakeReply,
        size: int,
        *,
        is_many: bool = False,
        is_patient: bool = False,
    ) -> int:
        """Return the number of a new request."""
        loop = asyncio.get_running_loop()
        if not self._is_looking:
            self._is_looking, self._looked_at = True, loop.time()
            loop.call_later(LOOK_SECONDS, self._look)
        self._number += 1
        self._bytes += size
        self._pending[self._number] = PendingRequest(
            subject, answer, loop.time(), size, is_many=is_many, is_patient=is_patient
        )
        return self._number

    async def take(self, message: Msg) -> None:
        """Take a message of an answer from the inbox."""
        number = int(message.subject.rpartition(".")[2])
        self._answered = max(self._answered, number)
        request = self._pending.get(number)
        if request is None:
            return  # it came too late
        status = message.headers.get(STATUS) if message.headers else None
        if status == NO_ANSWER:
            self.found_nothing = True
            self._settle(number, NobodyThere("JetStream is away, or is not enabled"))
            return
        request.messages.append(message)
        if not request.is_many or status is not None:
            self._settle(number, request.messages)

    def refuse(self, subject: str, problem: str) -> None:
        """Fail the requests to a subject, in small letters, that this user may not publish to."""
        for number, request in list(self._pending.items()):
            if request.subject.lower() == subject:
                self._settle(number, EngineError(problem, FORBIDDEN))

    def silence_of(self, number: int) -> EngineFault:
        """Return why a request has no answer so far, if it still waits for one."""
        is_passed_over = number in self._pending and number < self._answered
        return fault_of_silence(is_passed_over=is_passed_over)

    def fail(self, problem: str) -> None:
        """Fail all requests: no answer can come any more."""
        for number in list(self._pending):
            self._settle(number, EngineError(f"the answer was lost: {problem}"))

    def _settle(self, number: int, result: list[Msg] | EngineError) -> None:
        request = self._pending.pop(number)
        self._bytes -= request.size
        tell(request.answer, result)

    def _look(self) -> None:
        """Fail requests that have waited too long, but first read the answers that have arrived.

        If this process was held up, those may be unread still: it waits for one more interval.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        was_held_up = now - self._looked_at > 2 * LOOK_SECONDS
        self._looked_at = now
        for number, request in list(self._pending.items()) if not was_held_up else ():
            if request.deadline <= now:
                self._settle(number, NoAnswerInTime(self.problem or LATE, self.silence_of(number)))
            elif not request.is_patient:
                break
        self._is_looking = bool(self._pending)
        if self._is_looking:
            loop.call_later(LOOK_SECONDS, self._look)
