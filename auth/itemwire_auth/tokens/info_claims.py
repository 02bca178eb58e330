"""Reads from the claims of a token what other members may know of its caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from itemwire_auth.member_info import written_info
from itemwire_auth.tokens.rights_claims import find_claim


@dataclass(frozen=True, slots=True)
class InfoClaims:
    """The claims that other members may know: names, or paths such as `user.name`.

    A claim that is an object gives its members; any other stands under the last part of its path.
    """

    paths: tuple[str, ...] = ()

    def info_of(self, claims: Mapping[str, object]) -> bytes | None:
        """Return the info of a member as JSON text; None if there is none, or it is too large.

        Whoever may write into a claim could otherwise lock a caller out by making it long.
        """
        told: dict[str, object] = {}
        for path in self.paths:
            value = _thawed(find_claim(claims, path))
            if isinstance(value, dict):
                told |= cast("dict[str, object]", value)
            elif value is not None:
                told[path.rpartition(".")[2]] = value
        try:
            return written_info(told) if told else None
        except ValueError:
            return None


def _thawed(value: object) -> object:
    """Return a claim's value as JSON can be written of it; claims are kept read-only."""
    if isinstance(value, MappingProxyType):
        members = cast("Mapping[str, object]", value)
        return {name: _thawed(member) for name, member in members.items()}
    if isinstance(value, tuple):
        return [_thawed(member) for member in cast("tuple[object, ...]", value)]
    return value
