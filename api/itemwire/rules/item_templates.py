"""The patterns of items as template literal types of TypeScript, and which ids they share."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from itemwire.rules.patterns import PARAMETER, Pattern


class Symbol(Enum):
    """What a template has in the place of characters."""

    DIGIT = "one character of a number"
    DIGITS = "any more of these"
    ANY = "any text"


Part = str | Symbol

_NUMERIC: Final = frozenset("0123456789+-.eE")
_REPEATED: Final = frozenset({Symbol.DIGITS, Symbol.ANY})


@dataclass(frozen=True, slots=True)
class ItemTemplate:
    """A pattern as TypeScript writes it; it knows no segments, so `${string}` may have colons."""

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, pattern: Pattern, numbers: Collection[str]) -> "ItemTemplate":
        """Return the template of a pattern, some of whose parameters are numbers."""
        text, parts, end = "", list[Part](), 0
        for found in PARAMETER.finditer(pattern.text):
            literal, end = pattern.text[end : found.start()], found.end()
            is_number = found[1] in numbers
            text += literal + ("${number}" if is_number else "${string}")
            parts += [*literal, *((Symbol.DIGIT, Symbol.DIGITS) if is_number else (Symbol.ANY,))]
        literal = pattern.text[end:]
        return cls(text + literal, (*parts, *literal))

    @property
    def is_fixed(self) -> bool:
        """Return whether it is the id of one item."""
        return all(isinstance(part, str) for part in self.parts)

    def overlaps(self, other: "ItemTemplate") -> bool:
        """Return whether some id fits both."""
        return _share(self.parts, other.parts)

    def covers(self, other: "ItemTemplate") -> bool:
        """Return whether every id that fits the other fits this one."""
        return _cover(self.parts, other.parts)


@lru_cache(4096)
def _share(one: tuple[Part, ...], other: tuple[Part, ...]) -> bool:
    if not one or not other:
        return all(part in _REPEATED for part in (*one, *other))
    first, second = one[0], other[0]
    if first in _REPEATED and (
        _share(one[1:], other) or (_meet(first, second) and _share(one, other[1:]))
    ):
        return True
    if second in _REPEATED:
        return _share(one, other[1:]) or (_meet(first, second) and _share(one[1:], other))
    return first not in _REPEATED and _meet(first, second) and _share(one[1:], other[1:])


@lru_cache(4096)
def _cover(wide: tuple[Part, ...], narrow: tuple[Part, ...]) -> bool:
    if not wide:
        return not narrow
    first = wide[0]
    if first in _REPEATED:
        if _cover(wide[1:], narrow):
            return True
        return bool(narrow) and _takes(first, narrow[0]) and _cover(wide, narrow[1:])
    if not narrow or narrow[0] in _REPEATED:
        return False
    return _takes(first, narrow[0]) and _cover(wide[1:], narrow[1:])


def _meet(one: Part, other: Part) -> bool:
    """Return whether one character can be of both."""
    return _takes(one, other) or _takes(other, one)


def _takes(part: Part, other: Part) -> bool:
    """Return whether each character of another part may stand in this one."""
    if part is Symbol.ANY:
        return True
    if part in (Symbol.DIGIT, Symbol.DIGITS):
        return other in (Symbol.DIGIT, Symbol.DIGITS) or other in _NUMERIC
    return part == other


def shadows(earlier: Pattern, later: Pattern) -> bool:
    """Return whether an earlier pattern matches all items of a later one, so it never decides."""
    one, other = earlier.segments, later.segments
    ends = one[-1].endswith(":path}")
    if other[-1].endswith(":path}") and not ends:
        return False
    if len(other) < len(one) or (len(other) > len(one) and not ends):
        return False
    return all(
        PARAMETER.fullmatch(mine) or mine == theirs
        for mine, theirs in zip(one, other, strict=False)
    )
