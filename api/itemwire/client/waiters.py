"""Wakes all who wait for a change, which they then look at themselves."""

import asyncio


class Waiters:
    """Those who wait, in their order; one that is cancelled is gone at once."""

    def __init__(self) -> None:
        self._futures: dict[asyncio.Future[None], None] = {}

    async def wait(self) -> None:
        """Return at the next change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures[future] = None
        try:
            await future
        finally:
            del self._futures[future]

    def wake(self) -> None:
        """Tell all of them that something has changed."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)
