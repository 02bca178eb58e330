"""The events of clients and items, and what a function for each of them is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Literal, TypeVar, overload

from itemwire.client.emitter import Handler
from itemwire.client.errors import Refused
from itemwire.client.received import ItemMember, ReceivedMessage
from itemwire.messages import Gap

T = TypeVar("T")

Remove = Callable[[], None]
"""Removes a function again; a second time does nothing."""

Members = tuple[ItemMember, ...]


class ClientEvents(ABC):
    """The events of a client."""

    @overload
    def on(self, event: Literal["state"], handler: Callable[[str], object]) -> Remove: ...
    @overload
    def on(self, event: Literal["error"], handler: Callable[[Exception], object]) -> Remove: ...
    @overload
    def on(self, event: Literal["expiring"], handler: Callable[[float], object]) -> Remove: ...
    @overload
    def on(
        self, event: Literal["direct"], handler: Callable[[ReceivedMessage[object]], object]
    ) -> Remove: ...
    @overload
    def on(self, event: Literal["direct_lost"], handler: Callable[[], object]) -> Remove: ...
    @overload
    def on(self, event: Literal["frame"], handler: Callable[[str | bytes], object]) -> Remove: ...

    def on(self, event: str, handler: Handler) -> Remove:
        """Call a function, or start a coroutine function, at each event of one kind.

        `state` gives the new state, `error` an exception that the client lives on with, `expiring`
        the seconds that the token has left, `direct` a message to this caller, `direct_lost`
        nothing, and `frame` each frame as it came. Functions of a `Client` are called on its own
        thread and must not call it. Return what removes the function again.
        """
        return self.add_handler(event, handler)

    @abstractmethod
    def add_handler(self, event: str, handler: Handler) -> Remove:
        """Do what `on` does, for an event whose name is known only at run time."""
        ...


class ItemEvents(ABC, Generic[T]):
    """The events of an item."""

    @overload
    def on(
        self, event: Literal["message"], handler: Callable[[ReceivedMessage[T]], object]
    ) -> Remove: ...
    @overload
    def on(self, event: Literal["gap"], handler: Callable[[Gap], object]) -> Remove: ...
    @overload
    def on(self, event: Literal["members"], handler: Callable[[Members], object]) -> Remove: ...
    @overload
    def on(self, event: Literal["state"], handler: Callable[[str], object]) -> Remove: ...
    @overload
    def on(self, event: Literal["refused"], handler: Callable[[Refused], object]) -> Remove: ...

    def on(self, event: str, handler: Handler) -> Remove:
        """Call a function at each message, gap, change of members or state, or refusal.

        A coroutine function for messages or gaps is awaited before the next one. Messages go to
        functions or to one `async for`, not to both. Functions of a `Client` are called on its own
        thread and must not call it. Return what removes the function again.
        """
        return self.add_handler(event, handler)

    @abstractmethod
    def add_handler(self, event: str, handler: Handler) -> Remove:
        """Do what `on` does, for an event whose name is known only at run time."""
        ...
