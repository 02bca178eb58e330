"""Asks the server something, over whatever connection there is, within a limit of time."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import NamedTuple, TypeVar

from itemwire.client.clock import ClientClock, Limit
from itemwire.client.connector import RECONNECTING, Connector
from itemwire.client.envelopes import EnvelopeForm, Incoming
from itemwire.client.errors import ClientError, NotConnected, Refused, RequestTimeout
from itemwire.client.link import Link
from itemwire.client.options import ClientLimits
from itemwire.client.subscription import ClientSubscription

T = TypeVar("T")


class Answered(NamedTuple):
    """An answer, and the form that its payloads are in."""

    reply: Incoming
    form: EnvelopeForm


class Requests:
    """Requests of a program, each with its answer, an error, or its end of time."""

    def __init__(self, connector: Connector, clock: ClientClock, options: ClientLimits) -> None:
        self._connector = connector
        self._clock = clock
        self._options = options
        self._waiting = 0

    async def ask(
        self,
        fields: Mapping[str, object],
        *,
        about: ClientSubscription | None = None,
        repeat: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - by the client's own clock
        apply: Callable[[Incoming], None] | None = None,
    ) -> Answered:
        """Return the answer, and ask again after a break if that is safe (`repeat`).

        Raises `Refused`, `RequestTimeout`, `NotConnected` or `ClientClosed`; the last three tell by
        `was_sent` whether the request may have been done.
        """
        was_sent = False
        seconds = self._options.timeout if timeout is None else timeout
        try:
            async with Limit(self._clock, seconds):
                with nullcontext() if about is None else about.hold():
                    while True:
                        link = await self._link_for(about)
                        answer = link.start(fields, apply)
                        was_sent = True
                        try:
                            return Answered(await answer, link.form)
                        except NotConnected:
                            if not repeat:
                                raise
        except Refused:
            raise
        except ClientError as error:
            error.was_sent = was_sent
            raise
        except TimeoutError as error:
            late = RequestTimeout(f"no answer within {seconds:g} s")
            late.was_sent = was_sent
            raise late from error

    async def joined(
        self,
        about: ClientSubscription,
        timeout: float | None,  # noqa: ASYNC109 - by the client's own clock
    ) -> None:
        """Wait until an item is joined; raises what `ask` does."""
        seconds = self._options.timeout if timeout is None else timeout
        try:
            async with Limit(self._clock, seconds):
                await about.until_joined()
        except TimeoutError as error:
            raise RequestTimeout(f"{about.item_id} was not joined within {seconds:g} s") from error

    async def within(
        self,
        reading: Awaitable[T],
        timeout: float | None,  # noqa: ASYNC109 - by the client's own clock
    ) -> T | None:
        """Return what is read, or None at the end of the stream; raises `RequestTimeout`."""
        seconds = self._options.timeout if timeout is None else timeout
        try:
            async with Limit(self._clock, seconds):
                return await reading
        except StopAsyncIteration:
            return None
        except TimeoutError as error:
            raise RequestTimeout(f"no message within {seconds:g} s") from error

    def check(self) -> None:
        """Raise what keeps the client from being connected."""
        self._connector.check()

    def failed(self, error: Exception) -> None:
        """Tell the program of something that the client lives on with."""
        self._connector.failed(error)

    async def _link_for(self, about: ClientSubscription | None) -> Link:
        if self._connector.link is None:
            await self._wait_in_queue()
        if about is not None:
            return await about.until_joined()
        return await self._connector.wait_for_link()

    async def _wait_in_queue(self) -> None:
        """Wait for the connection; after a break, only as many requests as there is room for."""
        is_back_soon = self._connector.state == RECONNECTING
        if is_back_soon and self._waiting >= self._options.queue:
            raise NotConnected("reconnecting, and no room in the queue for requests")
        self._waiting += 1
        try:
            await self._connector.wait_for_link()
        finally:
            self._waiting -= 1
