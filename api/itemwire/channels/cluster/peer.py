"""What is known of another node, and on which channels that may be wrong."""

import math
from collections.abc import Iterable
from itertools import islice
from typing import Final

from itemwire.channels.cluster.gossip import CHANNELS_A_LINE
from itemwire.channels.presence.grace import GracePeriods
from itemwire.messages import Member

DEAD_TICKS: Final = 7  # three beats of two ticks, and one tick for how they fall


class Peer:
    """Another node: its members on the channels heard here, who of them was cut off, its life."""

    __slots__ = (
        "_is_leaving",
        "ask_number",
        "asked",
        "away",
        "members",
        "number",
        "patience",
        "silent",
        "unsure",
        "waited",
    )

    def __init__(self, number: int) -> None:
        self.number = number  # of its notice that was read last
        self.members: dict[str, dict[str, Member]] = {}
        self.unsure: dict[str, None] = {}
        self.asked: tuple[str, ...] = ()  # of the unsure ones, what it has been asked for
        self.ask_number = 0
        self.silent = self.waited = 0
        self.patience = DEAD_TICKS
        self.away = GracePeriods(math.inf)  # of all channels; its node says when their time is over
        self._is_leaving = False

    def leave(self, ticks: int) -> None:
        """Expect nothing more of it, and keep its members for so many ticks."""
        self._is_leaving = True
        self.unsure.clear()
        self.asked, self.ask_number = (), 0
        self.patience = ticks

    def distrust(self, channels: Iterable[str]) -> None:
        """Be unsure of channels too, unless nobody is left to be asked."""
        if not self._is_leaving:
            self.unsure.update(dict.fromkeys(channels))

    def doubt(self, channels: Iterable[str]) -> None:
        """Be unsure of channels too, and wait for no answer that was begun before."""
        self.distrust(channels)
        self.asked, self.ask_number = (), 0

    def ask(self, number: int) -> None:
        """Note that it is asked for some of what is unsure."""
        self.asked = tuple(islice(self.unsure, CHANNELS_A_LINE))
        self.ask_number, self.waited = number, 0

    def settle(self) -> None:
        """Note that what it was asked for was said, every part of it."""
        for channel in self.asked:
            self.unsure.pop(channel, None)
        self.asked, self.ask_number = (), 0
