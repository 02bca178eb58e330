"""Has the engine store messages, within the bounds of what may be in flight to it."""

from functools import partial
from threading import get_ident

from itemwire.channels.connection import Connection
from itemwire.channels.delivery.in_flight import InFlight, TooManyInFlight, share_of
from itemwire.channels.hub import Hub
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.names import channel_of
from itemwire.channels.timely_answers import TimelyAnswers
from itemwire.channels.timers import Timers
from itemwire.engines.base import Answer, Engine
from itemwire.messages import Draft, Position, payload_size


class Storing:
    """Gives messages to the engine, and refuses them while too many are in flight."""

    def __init__(
        self, engine: Engine, hub: Hub, limits: Limits, answers: TimelyAnswers, timers: Timers
    ) -> None:
        self._engine = engine
        self._hub = hub
        self._timers = timers
        self._limits = limits
        self._answers = answers
        self._in_flight = InFlight(limits.max_in_flight, limits.max_in_flight_bytes)

    def store(
        self,
        draft: Draft,
        answer: Answer[Position],
        connection: Connection | None = None,
    ) -> None:
        """Store a message and answer, in time, what became of it.

        The answer is `TooManyInFlight` while too many are in flight in all, or of this connection.

        Any thread may call this; the answer is given on the node's event loop.
        """
        if get_ident() != self._hub.thread:
            self._timers.hand_over(partial(self.store, draft, answer, connection))
            return
        if self._engine.answers_at_once:
            self._engine.publish(channel_of(draft.item), draft, answer)
            return
        tracked = self._track(payload_size(draft.data), answer, connection)
        if tracked is not None:
            self._engine.publish(channel_of(draft.item), draft, self._answers.limit(tracked))

    def _track(
        self, size: int, answer: Answer[Position], connection: Connection | None
    ) -> Answer[Position] | None:
        """Count a publish into the share of its connection, then into the node's bounds.

        Return what to have the engine answer; None if there was no room, which is answered here.
        """
        if connection is not None:
            if connection.in_flight is None:
                connection.in_flight = share_of(self._limits, connection.id)
            tracked = connection.in_flight.track(size, answer)
            if tracked is None:
                answer(TooManyInFlight("this connection has too many messages in flight"))
                return None
            answer = tracked  # from here on, any answer counts it out of the share again
        tracked = self._in_flight.track(size, answer)
        if tracked is None:
            answer(TooManyInFlight("the engine has too many messages to store"))
        return tracked
