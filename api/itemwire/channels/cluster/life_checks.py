"""Asks other nodes for a sign of life where it matters at once whether one was killed."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from itemwire.channels.timers import CallLater

WAIT_SECONDS: Final = 0.5  # a node that lives answers within 0.05 s, unless it is very busy


class LifeChecks:
    """Waits for a sign of life of a node, for a short time; all that wait share one question."""

    def __init__(
        self,
        ask: Callable[[str], None],
        suspect: Callable[[str], None],
        call_later: CallLater,
    ) -> None:
        self._ask = ask
        self._suspect = suspect
        self._call_later = call_later
        self._waiting: dict[str, list[Callable[[], None]]] = {}  # by node id

    def check(self, node_ids: Collection[str], done: Callable[[], None]) -> None:
        """Call back once each of these nodes has given a sign of life, or is suspected."""
        rest = len(node_ids)

        def checked() -> None:
            nonlocal rest
            rest -= 1
            if not rest:
                done()

        for node_id in node_ids:
            self._check(node_id, checked)
        if not node_ids:
            done()

    def _check(self, node_id: str, done: Callable[[], None]) -> None:
        if node_id in self._waiting:
            self._waiting[node_id].append(done)
            return
        waiting = self._waiting[node_id] = [done]
        self._ask(node_id)
        self._call_later(WAIT_SECONDS, partial(self._expire, node_id, waiting))

    def heard(self, node_id: str) -> None:
        """Call back all that wait for a node, which has given a sign of life."""
        for done in self._waiting.pop(node_id, ()):
            done()

    def _expire(self, node_id: str, waiting: list[Callable[[], None]]) -> None:
        if self._waiting.get(node_id) is waiting:
            self._suspect(node_id)
            self.heard(node_id)
