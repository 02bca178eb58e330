"""Finds out that nobody is there any more, also where the network says nothing."""

from collections.abc import Callable
from typing import Final

from itemwire.client.clock import READING_TURNS, ClientClock, TimerHandle

OVERDUE_SECONDS: Final = 2.0
"""A timer later than this: the process stood still, and what came meanwhile is not read yet."""


class Liveness:
    """Asks for a sign of life after a silence, and reports when none comes."""

    def __init__(
        self,
        clock: ClientClock,
        silence: float,
        patience: float,
        *,
        ask: Callable[[], None],
        report: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._silence = silence
        self._patience = patience
        self._ask = ask
        self._report = report
        self._last_heard = clock.monotonic()
        self._timer: TimerHandle | None = None
        self._asked_at = 0.0
        self._is_asked = False  # and nothing was heard since
        self._turns = 0

    def heard(self) -> None:
        """Note a frame, whatever it says."""
        self._last_heard = self._clock.monotonic()
        self._is_asked = False

    def probe(self) -> None:
        """Ask for a sign of life at once, and watch from then on."""
        self.stop()
        self._asked_at = self._clock.monotonic()
        self._turns = READING_TURNS
        self._is_asked = True
        self._ask()
        self._timer = self._clock.call_later(self._patience, self._check_answer)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_for_silence(self, seconds: float) -> None:
        self._timer = self._clock.call_later(seconds, self._check_silence)

    def _check_silence(self) -> None:
        left = self._silence - (self._clock.monotonic() - self._last_heard)
        if left > 0:
            self._wait_for_silence(left)
        else:
            self.probe()

    def _check_answer(self) -> None:
        late = self._clock.monotonic() - self._asked_at - self._patience
        if not self._is_asked:
            self._check_silence()
        elif late > OVERDUE_SECONDS:
            self.probe()
        elif self._turns:  # what has come is read first
            self._turns -= 1
            self._timer = self._clock.call_later(0.0, self._check_answer)
        else:
            self._report()
