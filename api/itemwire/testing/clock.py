"""A clock that a test moves: to step past the end of a token without waiting for it."""

import time


class Clock:
    """Unix time that stands still until it is moved; it goes wherever a `clock` is taken.

    clock = Clock()
    tokens = TokenFactory(key, clock=clock)
    app = create_app(settings_for(tokens), clock=clock)
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start

    def __call__(self) -> float:
        """Tell the time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Go forward by so many seconds, or back."""
        self._now += seconds
