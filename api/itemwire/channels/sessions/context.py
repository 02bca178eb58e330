"""What a command is, and what it may use of the session that it runs on."""

from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.host import Host
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied
from itemwire.messages import Ref, RefreshReply


class Context(Protocol):
    """A session, as far as the commands that run on it know it."""

    @property
    def node(self) -> Node:
        """Return the node, which does what commands ask for."""
        ...

    @property
    def connection(self) -> Connection:
        """Return the connection of the client that asks, which answers go to."""
        ...

    host: Host | None
    """The application around the session, where it has a word in what clients ask for."""

    @property
    def can_refresh(self) -> bool:
        """Return whether the rights can be worked out again here."""
        ...

    @property
    def is_refreshing(self) -> bool:
        """Return whether a refresh is under way."""
        ...

    def slow_down(
        self, wait: float, ref: Ref | UnsetType, detail: str, item: str | UnsetType = UNSET
    ) -> None:
        """Tell the client how long to wait, or close it if it cannot be told or does not listen.

        The `item` is named where one request is about several.
        """
        ...

    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        """Replace the token by another of the same caller; answer None, or why it was refused."""
        ...

    def refreshed(self, ref: Ref | UnsetType) -> RefreshReply:
        """Return the reply to a refresh: the new expiry and rights."""
        ...


class ManyItemsContext(Context, Protocol):
    """A session that joins items as its client asks."""

    def join(
        self, item_id: str, start: StartPoint, ref: Ref | UnsetType, *, is_listed: bool = False
    ) -> None:
        """Join one more item, or answer with the refusal; of a list, always with the item."""
        ...

    def submit(self, command: "Command[ManyItemsContext]", size: int) -> None:
        """Run a command of so many bytes, now or once the join of its item is answered."""
        ...


X_contra = TypeVar("X_contra", contravariant=True)


class Command(Protocol[X_contra]):
    """A client's request, read and valid in form, that runs in a context."""

    kind: ClassVar[RequestKind]
    """The kind of rate that limits it."""

    @property
    def ref(self) -> Ref | UnsetType:
        """Return the reference that its answer carries."""
        ...

    @property
    def item(self) -> str | UnsetType:
        """Return the id of the item that it names."""
        ...

    def run(self, context: X_contra, subscription: Subscription | None, /) -> None:
        """Do what is asked if the client may, and answer.

        `subscription` is that of the item it is about, if its client is on that item's channel.
        """
        ...
