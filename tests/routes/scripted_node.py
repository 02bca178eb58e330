"""A node whose engine answers as a test says, or not at all."""

from typing import ClassVar

from typing_extensions import override

from itemwire.channels.connection import Connection
from itemwire.channels.node import Node
from itemwire.engines.base import Answer, EngineError, History, Span
from itemwire.messages import NO_EXTRAS, Extras, Payload, Position
from itemwire_auth.principal import Principal

FAILURE = EngineError("the engine is at secret://")


class ScriptedNode(Node):
    """A node that a running one becomes by having its class replaced."""

    outcomes: ClassVar[dict[str, Position | EngineError]] = {}
    """What a publish to each item comes to; other items get no answer, and no history."""

    @override
    def publish(
        self,
        by: Principal,
        item_id: str,
        data: Payload,
        key: str | None,
        answer: Answer[Position],
        *,
        connection: Connection | None = None,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        tell = self.answers.limit(answer)
        if item_id in self.outcomes:
            tell(self.outcomes[item_id])

    @override
    def history(self, item_id: str, span: Span, answer: Answer[History]) -> None:
        tell = self.answers.limit(answer)
        outcome = self.outcomes.get(item_id)
        if isinstance(outcome, EngineError):
            tell(outcome)
