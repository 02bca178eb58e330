"""Lists the channels of all nodes, the most used first, a page at a time.

Each node ranks its own channels, and a channel's rank is that on the node where it ranks highest.
So the first hundred of all nodes are among the first hundred of each, and a page needs no more.
What a page holds is then looked up on every node, added up, and sorted by the sum.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec

from itemwire.channels.cluster.questions import Questions
from itemwire.channels.limits.item_rules import RulesOf
from itemwire.channels.names import RESERVED, channel_of, item_of
from itemwire.channels.overview import Overview
from itemwire.channels.watched import matcher_of
from itemwire.ops.channel_rates import ChannelRates
from itemwire.ops.slices import in_slices

MOST_CHANNELS: Final = 100  # of one page

CHANNELS: Final = "channels"  # the kinds of the questions
SHARES: Final = "shares"

Order = Literal["listeners", "rate"]
Rank = tuple[float, str]
"""Sorts the most used first: the number below zero, then the item."""

ItemText = Annotated[str, msgspec.Meta(max_length=128)]


@dataclass(frozen=True, slots=True)
class Share:
    """What one node knows of a channel that has listeners there; `members` are of all nodes."""

    item: ItemText
    listeners: int
    rate: float
    offset: int
    epoch: Annotated[str, msgspec.Meta(max_length=256)]
    members: int | None


@dataclass(frozen=True, slots=True)
class WantedChannels:
    """What to list: `after` is the rank of the last one that was listed before."""

    pattern: str | None = None
    order: Order = "listeners"
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHANNELS)] = MOST_CHANNELS
    after: Rank | None = None

    def matcher(self) -> Callable[[str], object]:
        """Return what matches item ids; ValueError for a text that is no pattern."""
        return _any if self.pattern is None else matcher_of(self.pattern)


@dataclass(frozen=True, slots=True)
class Shares:
    """Channels of one node; `is_cut` says that there are more behind the last one."""

    channels: Annotated[list[Share], msgspec.Meta(max_length=MOST_CHANNELS)]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ListedChannel:
    """A channel with listeners: the number of them and of the nodes they are on.

    `members` is null where members are not known.
    """

    item: str
    listeners: int
    nodes: int
    members: int | None
    messages_per_second: float
    offset: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ChannelPage:
    """Some channels; the nodes that answered, and those that did not in time."""

    channels: list[ListedChannel]
    next: str | None
    nodes: list[str]
    missing: list[str]


@dataclass(frozen=True, slots=True)
class ChannelShares:
    """What each node knows of one channel, and the nodes that did not say in time."""

    by_node: Mapping[str, Share]
    missing: list[str] = field(default_factory=list[str])


def write_cursor(rank: Rank) -> str:
    """Return a rank as a text, for the `after` of the next page."""
    return f"{abs(rank[0]):.3f}".rstrip("0").rstrip(".") + f":{rank[1]}"


def read_cursor(text: str) -> Rank:
    """Return the rank that a text stands for; ValueError if it is none."""
    number, colon, item = text.partition(":")
    value = float(number) if number.replace(".", "", 1).isdecimal() and number.isascii() else -1.0
    if not colon or not item or not 0 <= value < float("inf") or len(text) > MOST_CURSOR:
        raise ValueError("this is not the `next` of a page before")
    return -value, item


MOST_CURSOR: Final = 160  # characters


class ChannelList:
    """Lists channels, and answers what other nodes ask for their own lists."""

    def __init__(self, overview: Overview, questions: Questions, rules_of: RulesOf) -> None:
        self._overview = overview
        self._hub = overview.hub
        self._questions = questions
        self._rules_of = rules_of
        self.rates = ChannelRates(overview.hub)

    def start(self) -> None:
        """Answer other nodes from now on."""
        self.rates = ChannelRates(self._hub)  # of this start's event loop
        self._questions.answer_with(CHANNELS, self._answer_channels)
        self._questions.answer_with(SHARES, self._answer_shares)

    async def page(self, wanted: WantedChannels) -> ChannelPage:
        """Return a page of the channels of all nodes."""
        found = await self._questions.ask(CHANNELS, wanted, Shares)
        items = sorted({one.item for page in found.by_node.values() for one in page.channels})
        shares = [(node, one) for node, page in found.by_node.items() for one in page.channels]
        if len(found.by_node) > 1:
            shares = await self._shares(items)
        by_item: dict[str, dict[str, Share]] = {item: {} for item in items}
        for node, share in shares:
            if share.item in by_item:
                by_item[share.item][node] = share
        floors = [
            rank_of(page.channels[-1], wanted.order)
            for page in found.by_node.values()
            if page.is_cut and page.channels
        ]
        ranked = sorted(
            (min(rank_of(one, wanted.order) for one in by_node.values()), by_node)
            for by_node in map(_Comparable, by_item.values())
            if by_node
        )
        return _page_of(ranked, min(floors, default=None), wanted, found.missing, found.by_node)

    async def of_item(self, item_id: str) -> ChannelShares:
        """Return what each node knows of a channel."""
        found = await self._questions.ask(SHARES, [item_id], Shares)
        by_node = {node: page.channels[0] for node, page in found.by_node.items() if page.channels}
        return ChannelShares(by_node, found.missing)

    async def _shares(self, items: Sequence[str]) -> list[tuple[str, Share]]:
        shares: list[tuple[str, Share]] = []
        for start in range(0, len(items), MOST_CHANNELS):
            part = items[start : start + MOST_CHANNELS]
            found = await self._questions.ask(SHARES, part, Shares)
            shares += [(node, one) for node, page in found.by_node.items() for one in page.channels]
        return shares

    async def _answer_channels(self, facts: msgspec.Raw) -> Shares:
        wanted = msgspec.json.decode(facts, type=WantedChannels)
        matches, best = wanted.matcher(), list[tuple[Rank, str]]()
        await self.rates.update()
        async for names in in_slices(self._hub.names()):
            ranked = ((self._rank(name, wanted.order), name) for name in names)
            best = heapq.nsmallest(
                wanted.limit + 1,
                [
                    *best,
                    *(
                        one
                        for one in ranked
                        if (wanted.after is None or one[0] > wanted.after)
                        and not one[0][1].startswith(RESERVED)
                        and matches(one[0][1])
                        and self._hub.reach(one[1]).subscriptions
                    ),
                ],
            )
        shares = [self._share(name) for _, name in best[: wanted.limit]]
        return Shares(shares, is_cut=len(best) > wanted.limit)

    async def _answer_shares(self, facts: msgspec.Raw) -> Shares:
        items = msgspec.json.decode(facts, type=list[ItemText])[:MOST_CHANNELS]
        await self.rates.update()
        shares = [self._share(channel_of(item)) for item in items]
        return Shares([one for one in shares if one.listeners])

    def _rank(self, channel: str, order: Order) -> Rank:
        item = item_of(channel)
        if order == "rate":
            return -self.rates.of(channel), item
        return -self._hub.reach(channel).subscriptions, item

    def _share(self, channel: str) -> Share:
        item, reach = item_of(channel), self._hub.reach(channel)
        has_members = self._rules_of(item).presence != "off"
        members = self._overview.presence.page(channel, 0).count if has_members else None
        return Share(
            item,
            reach.subscriptions,
            self.rates.of(channel),
            reach.position.offset,
            reach.position.epoch,
            members,
        )


class _Comparable(dict[str, Share]):
    """The shares of a channel by node, which come after its rank in a sort and never count."""

    def __lt__(self, _other: object) -> bool:
        return False


def rank_of(share: Share, order: Order) -> Rank:
    """Return the rank of a channel on a node."""
    return (-share.rate if order == "rate" else -share.listeners), share.item


def merged(item_id: str, shares: Iterable[Share]) -> ListedChannel:
    """Return what all nodes together know of a channel."""
    all_shares = list(shares)
    newest = max(all_shares, key=lambda one: one.offset, default=None)
    members = [one.members for one in all_shares if one.members is not None]
    return ListedChannel(
        item_id,
        sum(one.listeners for one in all_shares),
        len(all_shares),
        max(members, default=None),
        max((one.rate for one in all_shares), default=0.0),
        newest.offset if newest else 0,
        newest.epoch if newest else "",
    )


def _page_of(
    ranked: Sequence[tuple[Rank, Mapping[str, Share]]],
    floor: Rank | None,
    wanted: WantedChannels,
    missing: list[str],
    nodes: Iterable[str],
) -> ChannelPage:
    """Return a page; behind the `floor` a node may have channels that it did not name."""
    known = [
        one
        for one in ranked
        if (floor is None or one[0] <= floor) and (wanted.after is None or one[0] > wanted.after)
    ]
    page, is_more = known[: wanted.limit], len(known) > wanted.limit
    last = page[-1][0] if is_more else floor
    listed = [merged(rank[1], by_node.values()) for rank, by_node in page]
    if wanted.order == "rate":
        listed.sort(key=lambda one: (-one.messages_per_second, one.item))
    else:
        listed.sort(key=lambda one: (-one.listeners, one.item))
    return ChannelPage(listed, write_cursor(last) if last else None, list(nodes), missing)


def _any(_item_id: str) -> object:
    return True
