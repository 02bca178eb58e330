"""What nodes ask each other for operators, and what they answer: the words of it.

What is read here came over a bus that others may write to. So the envelope carries bounds, and
what is inside is read as the kind it is said to be, by whoever asked for it.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

MAX_NUMBER: Final = 2**53
MAX_ID: Final = 128  # characters of a node's id
MAX_KIND: Final = 32  # characters

MAX_ANSWER_BYTES: Final = 192 * 1024  # with its envelope it is smaller than the largest notice

Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Kind = Annotated[str, Meta(min_length=1, max_length=MAX_KIND)]


class NodeQuestion(msgspec.Struct, frozen=True, tag="question"):
    """Asks every other node; `number` tells the questions of one node from each other."""

    number: Number
    kind: Kind
    facts: msgspec.Raw


class NodeAnswer(msgspec.Struct, frozen=True, tag="answer"):
    """What a node answers to a question of the node `to`."""

    to: Annotated[str, Meta(max_length=MAX_ID)]
    number: Number
    facts: msgspec.Raw


class NodeTold(msgspec.Struct, frozen=True, tag="told"):
    """Something that every other node is told, and that nobody answers."""

    kind: Kind
    facts: msgspec.Raw


Inquiry = NodeQuestion | NodeAnswer | NodeTold
