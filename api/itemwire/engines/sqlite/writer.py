"""The thread of the SQLite engine: all that waits is one transaction and one callback."""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, Generic, TypeVar

from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.sqlite.faults import refusal_of, sentence_of
from itemwire.engines.sqlite.file import close_file
from itemwire.engines.sqlite.store import MessageEntry, SqliteStore
from itemwire.engines.sqlite.upkeep import SqliteUpkeep
from itemwire.messages import Position

logger = logging.getLogger("itemwire.engines")

T = TypeVar("T")

MOST_REQUESTS: Final = 1000  # in a transaction: a larger one is no faster per request

UPKEEP_SECONDS: Final = 1.0
UPKEEP_PUBLISHES: Final = 5000  # after so many, upkeep does not wait for its time


@dataclass(slots=True, eq=False, kw_only=True)
class WriterRequest(Generic[T]):
    """A request to the file, and its outcome."""

    answer: Answer[T]
    stored: Callable[[T], None] | None = None  # called before the answer if it succeeded
    size: int = 0
    asked_at: float = 0.0
    is_answered: bool = False
    outcome: T | EngineError = field(default_factory=lambda: EngineError("it was not done"))

    def settle(self) -> None:
        """Deliver and answer, on the event loop."""
        if self.stored is not None and not isinstance(self.outcome, EngineError):
            tell(self.stored, self.outcome)
        tell(self.reply, self.outcome)

    def reply(self, outcome: T | EngineError) -> None:
        """Answer, unless that was done before."""
        if not self.is_answered:
            self.is_answered = True
            self.answer(outcome)


@dataclass(slots=True, eq=False, kw_only=True)
class PublishRequest(WriterRequest[Position]):
    """A message to store; consecutive ones are stored together."""

    entry: MessageEntry


@dataclass(slots=True, eq=False, kw_only=True)
class StoreCall(WriterRequest[T]):
    """Anything else: a function that is called with the store within the transaction."""

    run: Callable[[SqliteStore], T | EngineError]
    only_reads: bool = False


Settle = Callable[[Sequence[WriterRequest[Any]]], None]
"""Receives, in the thread, requests that have their outcomes."""


class SqliteWriter:
    """Owns the connection, and serves requests in the order they were handed in."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        store: SqliteStore,
        upkeep: SqliteUpkeep,
        settle: Settle,
        ended: Callable[[], None],
        *,
        check: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._store = store
        self._upkeep = upkeep
        self._check = check  # that what is written can be found
        self._settle = settle
        self._ended = ended
        self._queue: queue.SimpleQueue[list[WriterRequest[Any]] | None] = queue.SimpleQueue()
        self._is_ending = False
        self._upkeep_at = time.monotonic() + UPKEEP_SECONDS
        self._published = 0  # since the last upkeep
        self._upkeep_problem = ""  # logged once, however long it lasts
        threading.Thread(target=self._work, name="itemwire-sqlite", daemon=True).start()

    def hand_in(self, requests: list[WriterRequest[Any]]) -> None:
        """Serve requests, together with whatever else waits."""
        self._queue.put(requests)

    def end(self) -> None:
        """Serve what waits, then close the file."""
        self._queue.put(None)

    def _work(self) -> None:
        while not self._is_ending:
            batch = self._next_batch()
            for start in range(0, len(batch), MOST_REQUESTS):
                self._do(batch[start : start + MOST_REQUESTS])
            if time.monotonic() >= self._upkeep_at or self._published >= UPKEEP_PUBLISHES:
                self._keep_up()
        try:
            close_file(self._connection)
        except sqlite3.Error as error:
            logger.error("engine_close_failed problem=%s", error)  # noqa: TRY400 - the disk's fault
        self._ended()

    def _next_batch(self) -> list[WriterRequest[Any]]:
        """Wait for requests, or until upkeep is due; return all that wait."""
        batch: list[WriterRequest[Any]] = []
        try:
            handed_in = self._queue.get(timeout=max(self._upkeep_at - time.monotonic(), 0))
            while handed_in is not None:
                batch += handed_in
                handed_in = self._queue.get_nowait()
            self._is_ending = True
        except queue.Empty:
            pass
        return batch

    def _do(self, batch: Sequence[WriterRequest[Any]]) -> None:
        try:
            if not all(isinstance(one, StoreCall) and one.only_reads for one in batch):
                self._check()
            with self._store.transaction():
                for _, run in groupby(batch, type):
                    self._run(list(run))
        except sqlite3.Error as error:
            self._do_without_writing(batch, error)
        except Exception as error:
            # Without this thread nothing would ever be answered again.
            logger.exception("engine_failed")
            self._do_without_writing(batch, error)
        self._settle(batch)

    def _run(self, requests: Sequence[WriterRequest[Any]]) -> None:
        """Serve consecutive requests of one kind."""
        self._publish([one for one in requests if isinstance(one, PublishRequest)])
        for request in requests:
            if isinstance(request, StoreCall):
                request.outcome = request.run(self._store)

    def _publish(self, requests: Sequence[PublishRequest]) -> None:
        placed = self._store.publish([request.entry for request in requests])
        for request, (position, is_new) in zip(requests, placed, strict=True):
            request.outcome = position
            if not is_new:
                request.stored = None  # it was delivered when it was published first
        self._published += len(requests)

    def _do_without_writing(self, batch: Sequence[WriterRequest[Any]], error: Exception) -> None:
        """Refuse all writes; reads may still succeed."""
        for request in batch:
            request.outcome = refusal_of(error)
            if isinstance(request, StoreCall) and request.only_reads:
                try:
                    with self._store.transaction(), self._store.writing_nothing():
                        request.outcome = request.run(self._store)
                except Exception as problem:  # noqa: BLE001 - it ends this request, not the thread
                    request.outcome = refusal_of(problem)

    def _keep_up(self) -> None:
        is_more = False
        try:
            with self._store.transaction():
                is_more = self._upkeep.tidy()
            self._upkeep_problem = ""
        except sqlite3.Error as error:
            problem = sentence_of(error)
            if problem != self._upkeep_problem:
                self._upkeep_problem = problem
                logger.error("engine_upkeep_failed problem=the file %s", problem)  # noqa: TRY400 - the disk's fault
        except Exception:
            logger.exception("engine_upkeep_failed")
        self._published = 0
        self._upkeep_at = time.monotonic() + (0 if is_more else UPKEEP_SECONDS)
