"""What each signal does to a server: docs/operations.md has the table."""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, Final

# These begin a drain as SIGTERM does, where nothing else was done about them: the default is to
# end the process with every socket cut. A terminal sends SIGHUP when it is closed.
ALSO_DRAIN: Final = (signal.SIGHUP, signal.SIGQUIT)

# Other servers open their log files again, or begin an upgrade. The default is to end.
IGNORED: Final = (signal.SIGUSR1, signal.SIGUSR2)

Handler = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Let SIGINT end the process until the server drains at it, as SIGTERM does.

    Python would raise KeyboardInterrupt wherever it is just then, and drop it in a finalizer: the
    server went on as if nobody had pressed Ctrl+C.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_signals() -> None:
    """Ignore the signals that mean nothing here, before an application asks for them."""
    _handle(IGNORED, _do_nothing)  # what the application starts would inherit SIG_IGN


def drain_at_more_signals(handler: Handler) -> None:
    """Call a handler for the other signals that begin a drain.

    `nohup` has SIGHUP ignored, and an application may have handlers of its own: those stay.
    """
    _handle(ALSO_DRAIN, handler)


def _do_nothing(_sig: int, _frame: FrameType | None) -> None:
    """Handle a signal."""


def _handle(signals: tuple[signal.Signals, ...], handler: Handler) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only that thread may
    for one in signals:
        if signal.getsignal(one) is signal.SIG_DFL:
            signal.signal(one, handler)


def may_end_at_once(sig: int) -> bool:
    """Return whether this signal, while a drain goes on, ends it.

    A shell and the kernel may both send SIGHUP for one terminal that was closed.
    """
    return sig != signal.SIGHUP
