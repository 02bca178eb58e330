"""A client's place on one item: the last wish wins, whatever is still under way."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

from itemwire.client.backoff import Backoff
from itemwire.client.clock import ClientClock, TimerHandle
from itemwire.client.endings import verdict_of
from itemwire.client.envelopes import Incoming
from itemwire.client.errors import MAX_TOKEN_VERDICTS, NEVER, TOKEN, ClientClosed, Refused
from itemwire.client.item_stream import ItemStream
from itemwire.client.joins import Joins
from itemwire.client.link import Link, refusal_of
from itemwire.client.member_list import MemberList
from itemwire.client.waiters import Waiters

AWAY: Final = "away"
JOINING: Final = "joining"
JOINED: Final = "joined"
LEAVING: Final = "leaving"


class SubscriptionHost(Protocol):
    """What a subscription needs of its client."""

    joins: Joins
    clock: ClientClock

    @property
    def link(self) -> Link | None:
        """Return the connection, if there is one."""
        ...

    @property
    def gives_new_tokens(self) -> bool:
        """Return whether the client may have another token later."""
        ...

    def check(self) -> None:
        """Raise what keeps the client from being connected."""
        ...

    def wish_changed(self, subscription: "ClientSubscription") -> None:
        """Take note that the item is wanted, or no longer."""
        ...

    def item_refused(self, subscription: "ClientSubscription", refusal: Refused) -> None:
        """Take note of a refusal, for good or for a while."""
        ...

    def joined(self, subscription: "ClientSubscription", welcome: Incoming) -> None:
        """Take note that the item was joined."""
        ...


class ClientSubscription:
    """Whether an item is wanted, and how far the server has followed."""

    def __init__(
        self, item_id: str, stream: ItemStream, host: SubscriptionHost, backoff: Backoff
    ) -> None:
        self.item_id = item_id
        self.stream = stream
        self.members = MemberList()
        self.can: frozenset[str] = frozenset()
        self.is_wanted = False
        self.is_forgotten = False
        self.refusal: Refused | None = None
        self._host = host
        self._backoff = backoff
        self._holders = 0
        self._phase = AWAY
        self._token_verdicts = 0  # in a row
        self._asks_to_hear = False  # whether the last join said where to begin
        self._streams = False  # whether the stream knows where it began
        self._timer: TimerHandle | None = None
        self._changed = Waiters()

    @property
    def is_wished(self) -> bool:
        """Return whether the server should have us on this item."""
        return self.is_wanted or self._holders > 0

    @property
    def hears(self) -> bool:
        """Return whether what comes is for us, and not the rest of what was left before."""
        return self.is_wanted and self._streams

    @property
    def state(self) -> str:
        """Return `away`, `joining`, `joined` or `refused`."""
        if self.refusal is not None:
            return "refused"
        if not self.is_wanted:
            return AWAY
        return JOINED if self._phase == JOINED and self._streams else JOINING

    def want(self) -> None:
        """Wish to hear the item from now on."""
        self._check_not_forgotten()
        if not self.is_wanted:
            self.is_wanted, self.refusal = True, None
            self.stream.begin()
            self._wish_changed()

    def drop(self) -> None:
        """Wish to hear nothing more; what was not read is dropped."""
        self.is_wanted, self.refusal, self._streams = False, None, False
        self.stream.drop()
        self.members.clear()
        self.can = frozenset()
        self._wish_changed()

    def forget(self) -> None:
        """Keep nothing of the user who has left, and serve nobody else."""
        self.drop()
        self.stream.forget()
        self.is_forgotten = True

    @contextmanager
    def hold(self) -> Generator[None]:
        """Be on the item for a request about it, also where nobody wants to hear it."""
        self._check_not_forgotten()
        self._holders += 1
        if self._holders == 1 and not self.is_wanted:
            self.refusal = None
            self._wish_changed()
        try:
            yield
        finally:
            self._holders -= 1
            if not self.is_wished:
                self._wish_changed()

    async def until_joined(self) -> Link:
        """Return the connection on which the item is joined; raises what keeps it from that."""
        while True:
            if self.refusal is not None:
                raise self.refusal
            if not self.is_wished:
                raise ClientClosed(f"{self.item_id} was left")
            self._host.check()
            link = self._host.link
            is_joined = self._phase == JOINED and self._streams == self.is_wanted
            if link is not None and not link.is_over and is_joined:
                return link
            await self._changed.wait()

    def revive(self) -> None:
        """Let what is wanted be read again: the client was refused, and tries anew."""
        if self.is_wanted:
            self.stream.begin()

    def wake(self) -> None:
        """Let those who wait look again: the client's state has changed."""
        self._changed.wake()

    def link_up(self) -> None:
        """Join, if that is wished."""
        self._sync()

    def link_down(self) -> None:
        """Be away, with the wish as it is."""
        self._phase = AWAY
        self._stop_timer()
        self.wake()

    def welcomed(self, welcome: Incoming, link: Link) -> None:
        """Follow a `welcome`; one that nobody waits for any more is answered by `leave`."""
        self._phase = JOINED
        if self.is_wanted and self._asks_to_hear:
            self._streams = True
            self._token_verdicts = 0
            self._backoff.reset()
            self.stream.welcome(welcome, link.form)
            self.can = frozenset(welcome.can or ())
            self._host.joined(self, welcome)
        self._sync()
        self.wake()

    def not_joined(self, error: Incoming) -> None:
        """Follow a refusal of a join."""
        self._phase = AWAY
        self._refused(refusal_of(error))

    def ended(self, incoming: Incoming) -> None:
        """Follow the server's word that it took us off the item."""
        self._phase = AWAY
        retry = verdict_of(incoming.retry, incoming.reason)
        self._refused(Refused(incoming.reason, retry=retry, detail=incoming.detail))

    def _check_not_forgotten(self) -> None:
        if self.is_forgotten:
            raise ClientClosed(f"{self.item_id} was of the user who signed out: call item() again")

    def _refused(self, refusal: Refused) -> None:
        if self.is_wished and self._is_final(refusal):
            self.is_wanted, self._streams = False, False
            self.refusal = refusal
            self.stream.end(refusal)
            self._host.wish_changed(self)
        elif self.is_wished:
            self._again_after(self._backoff.next_wait(refusal.retry_after))
        self.wake()
        self._host.item_refused(self, refusal)

    def _is_final(self, refusal: Refused) -> bool:
        """Report whether trying again is of no use; a new token may come with a refresh."""
        if refusal.retry != TOKEN:
            return refusal.retry == NEVER
        self._token_verdicts += 1
        return self._token_verdicts > MAX_TOKEN_VERDICTS or not self._host.gives_new_tokens

    def _again_after(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._host.clock.call_later(seconds, self._again)

    def _again(self) -> None:
        self._timer = None
        self._sync()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wish_changed(self) -> None:
        self._stop_timer()
        self._host.wish_changed(self)
        self._sync()
        self.wake()

    def _sync(self) -> None:
        """Ask for what is wished, once the last thing that was asked for is answered."""
        link = self._host.link
        if link is None or self._timer is not None:
            return
        if self._phase == AWAY and self.is_wished:
            self._phase = JOINING
            self._asks_to_hear = self.is_wanted
            fields = self.stream.join_fields() if self.is_wanted else {}
            self._host.joins.add(self.item_id, fields)
        elif self._phase == JOINED and not self._is_as_wished():
            self._phase = LEAVING
            answer = link.start({"type": "leave", "item": self.item_id})
            answer.add_done_callback(self._left_on(link))

    def _is_as_wished(self) -> bool:
        """Report whether to stay; one who joined only to publish joins anew to hear."""
        return self._streams if self.is_wanted else self._holders > 0

    def _left_on(self, link: Link) -> Callable[[object], None]:
        def left(_answer: object) -> None:
            if self._host.link is link and self._phase == LEAVING:
                self._phase = AWAY
                self._sync()
                self.wake()

        return left
