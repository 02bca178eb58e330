"""The connection of a client that asked for hints."""

from typing import ClassVar

import msgspec
from msgspec import UNSET
from typing_extensions import override

from itemwire.channels.connection import Connection
from itemwire.close_reasons import CLOSE_REASONS, CloseReason, Retry
from itemwire.messages import Error, Event


class HintedConnection(Connection):
    """Tells its client the server's time, and what to do after each refusal.

    It is a class and not a field: other connections pay nothing for it, neither time nor memory.
    """

    __slots__ = ()

    gives_hints: ClassVar[bool] = True

    @property
    @override
    def server_time(self) -> float:
        return self._home.environment.now_in_ms()

    @override
    def send(self, event: Event) -> None:
        if isinstance(event, Error) and event.retry is UNSET:
            event = msgspec.structs.replace(event, retry=_verdict_on(event))
        super().send(event)

    @override
    def advice_on(self, reason: CloseReason) -> str:
        return reason.retry

    @override
    def _text_of(self, reason: CloseReason) -> str:
        return reason.with_verdict


def _verdict_on(error: Error) -> Retry:
    """Return what a client should do after an error: as after a close for the same reason."""
    row = CLOSE_REASONS.get(error.code)
    if row is not None and row.is_temporary == error.temporary:
        return row.retry
    return Retry.LATER if error.temporary else Retry.NEVER
