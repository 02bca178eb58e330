"""Fakes for an application's rules, which answer at once or when told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from typing_extensions import override

from itemwire.channels.reauthorization import Denied, ItemRights, Offered, Renewal, Verdict
from itemwire.close_reasons import FORBIDDEN, CloseReason
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action
from tests.fakes.values import NOW, principal


class ItemRules(ItemRights):
    """What dependencies say about items and newer tokens: at once, or when they are told to.

    `can` has what may be done with an item; with any that is not in it, nothing.
    """

    def __init__(self, can: dict[str, frozenset[Action]] | None = None) -> None:
        self.can = can or {}
        self.problem: CloseReason | None = None
        self.is_slow = False
        self.asked: list[str] = []
        self._answers: deque[Callable[[], None]] = deque()

    @override
    def due(self) -> float:
        return NOW

    @override
    def of_item(
        self, principal: Principal, item_id: str, due: float, answer: Callable[[Verdict], None]
    ) -> None:
        self.asked.append(item_id)
        self._answer(lambda: answer(self._verdict(principal, item_id)))

    @override
    def renew(
        self,
        offered: Offered,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        """Take the token for the subject it names."""
        self.asked.append(f"renew {' '.join(items)}".strip())
        caller = principal(str(offered), int(NOW) + 7200)
        self._answer(
            lambda: answer(Renewal(caller, {one: self._verdict(caller, one) for one in items}))
        )

    @property
    def waits(self) -> bool:
        """Tell whether a question waits for its answer."""
        return bool(self._answers)

    def say(self) -> None:
        """Answer the question that has waited longest, by what holds now."""
        self._answers.popleft()()

    def _answer(self, tell: Callable[[], None]) -> None:
        if self.is_slow:
            self._answers.append(tell)
        else:
            tell()

    def _verdict(self, caller: Principal, item_id: str) -> Verdict:
        if self.problem is not None:
            return Denied(self.problem, caller)
        can = self.can.get(item_id)
        return Denied(FORBIDDEN, caller) if can is None else Grant(caller, item_id, can)


class Rules:
    """What a route's dependencies say about a newer token: when they are told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: deque[Callable[[Verdict], None]] = deque()

    def __call__(self, offered: Offered, answer: Callable[[Verdict], None]) -> None:
        """Take a question: about a token, or a caller who is known."""
        self.asked.append(offered if isinstance(offered, str) else offered.subject)
        self._answers.append(answer)

    def say(self, verdict: Verdict) -> None:
        """Answer the question that has waited longest."""
        self._answers.popleft()(verdict)
