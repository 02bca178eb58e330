"""Channels whose members are asked for, and the questions that wait for them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

WAIT_TICKS: Final = 2  # a question waits for one to two seconds at most
KEPT_TICKS: Final = 10  # who asks for the next page, or asks again, is answered from memory
MAX_CHANNELS: Final = 1000  # that are kept up to date because somebody asked

Answered = Callable[[bool], None]
"""Called once, with whether every node has said which members it has."""


@dataclass(slots=True)
class _Question:
    asked_at: int = 0  # the tick at which somebody asked last
    waiting: list[tuple[int, Answered]] = field(default_factory=list[tuple[int, Answered]])


class AskedChannels:
    """Answers each question once all nodes have answered, or when its time is up.

    All that ask about a channel at the same time share one request to the other nodes. The channel
    then stays up to date for a while, so that asking again costs those nodes nothing. Past
    `MAX_CHANNELS`, the one that was not asked about for longest is given up.
    """

    def __init__(self, is_current: Callable[[str], bool], give_up: Callable[[str], None]) -> None:
        self._is_current = is_current
        self._give_up = give_up
        self._questions: dict[str, _Question] = {}  # in the order in which they were asked last
        self._ticks = 0

    def __contains__(self, channel: str) -> bool:
        return channel in self._questions

    def __iter__(self) -> Iterator[str]:
        return iter(self._questions)

    def add(self, channel: str, answered: Answered) -> None:
        """Have a question wait for `check`, or for the end of its time."""
        question = self._questions.pop(channel, None) or _Question()
        self._questions[channel] = question
        question.asked_at = self._ticks
        question.waiting.append((self._ticks + WAIT_TICKS, answered))
        if len(self._questions) > MAX_CHANNELS:
            self._remove(next(iter(self._questions)))

    def are_waiting(self, channel: str) -> bool:
        """Return whether a question about a channel waits."""
        question = self._questions.get(channel)
        return question is not None and bool(question.waiting)

    def check(self, channels: Iterable[str]) -> None:
        """Answer the questions about those of these channels that are current now."""
        for channel in channels:
            question = self._questions.get(channel)
            if question is not None and question.waiting and self._is_current(channel):
                _answer(question, self._ticks + WAIT_TICKS, is_complete=True)

    def check_all(self) -> None:
        """Answer the questions about every channel that is current now."""
        self.check(list(self._questions))

    def answer_all(self) -> None:
        """Answer every question with what is known: the other nodes cannot be asked now."""
        for question in list(self._questions.values()):
            _answer(question, self._ticks + WAIT_TICKS, is_complete=False)

    def tick(self) -> None:
        """Answer what has waited for too long, and give up what nobody asks about any more."""
        self._ticks += 1
        self.check_all()
        for channel, question in list(self._questions.items()):
            _answer(question, self._ticks, is_complete=False)
            if question.asked_at + KEPT_TICKS <= self._ticks:
                self._remove(channel)

    def _remove(self, channel: str) -> None:
        question = self._questions.pop(channel, None)
        if question is not None:
            self._give_up(channel)
            _answer(question, self._ticks + WAIT_TICKS, is_complete=False)


def _answer(question: _Question, until: int, *, is_complete: bool) -> None:
    """Answer those that wait until a tick and no longer."""
    waiting, question.waiting = question.waiting, []
    for deadline, answered in waiting:
        if deadline <= until:
            answered(is_complete)
        else:
            question.waiting.append((deadline, answered))
