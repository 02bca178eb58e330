"""A clock that a test moves, for example past the expiry of a token."""

import time


class Clock:
    """Unix time that stands still until a test moves it; pass it as any `clock` argument.

    clock = Clock()
    tokens = TokenFactory(key, clock=clock)
    app = create_app(settings_for(tokens), clock=clock)
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by a number of seconds; back if it is negative."""
        self._now += seconds
