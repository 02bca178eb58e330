"""Lets operations run concurrently or alone, and starts them in the order they came."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


class Turn:
    """The turn of an operation that runs; ending it twice is ending it once.

    As a context manager it ends with the block, also if the block raises.
    """

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def end(self) -> None:
        """Note that the operation is over, and begin whatever may run now."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def __enter__(self) -> None:
        """Begin what the turn ends with."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.end()


@dataclass(frozen=True, slots=True)
class _Operation:
    begin: Callable[[Turn], None]
    is_exclusive: bool


class OrderedGate:
    """Runs at most `width` operations at a time; an exclusive one runs while no other does.

    An operation is begun by a call with its turn, and is over when it ends that turn. None
    overtakes another: an exclusive operation waits for all before it, and all after it wait for it.

    A turn is always given back: an operation whose begin raises is over. Its error is raised once
    all others that may run have begun.
    """

    __slots__ = ("_is_beginning", "_is_exclusive", "_running", "_waiting", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._running = 0
        self._is_exclusive = False  # the one that runs
        self._is_beginning = False
        self._waiting: deque[_Operation] = deque()

    @property
    def is_empty(self) -> bool:
        """Return whether nothing runs and nothing waits."""
        return not self._running and not self._waiting

    def submit(self, begin: Callable[[Turn], None], *, exclusive: bool = False) -> None:
        """Begin an operation as soon as it may run, perhaps before this returns."""
        self._waiting.append(_Operation(begin, exclusive))
        self._begin_next()

    def _give_back(self) -> None:
        self._running -= 1
        self._is_exclusive = False
        self._begin_next()

    def _begin_next(self) -> None:
        # An operation that is over within its own begin gets here from the loop below, which then
        # goes on by itself: thousands of those must not pile up on the stack.
        if self._is_beginning:
            return
        self._is_beginning = True
        failure: Exception | None = None
        while self._waiting and self._may_run(self._waiting[0]):
            failure = self._begin(self._waiting.popleft()) or failure
        self._is_beginning = False
        if failure is not None:
            raise failure

    def _begin(self, operation: _Operation) -> Exception | None:
        self._running += 1
        self._is_exclusive = operation.is_exclusive
        turn = Turn(self._give_back)
        try:
            operation.begin(turn)
        except Exception as error:  # noqa: BLE001 - raised by the loop, once it is through
            turn.end()
            return error
        return None

    def _may_run(self, operation: _Operation) -> bool:
        if operation.is_exclusive:
            return self._running == 0
        return self._running < self._width and not self._is_exclusive
