"""How the token of a provider or a library is written down, with the bad twins of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tests.auth.conftest import NOW

JWT: Final = {"typ": "JWT"}
NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
ABSENT: Final = object()  # as the value of a claim: it is left out

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Shape:
    """One token; `twins` are bad ones, by name: what is changed, and the check that refuses it.

    A twin whose check is `rights` is a good token that grants nothing.
    """

    claims: Claims
    header: Claims = field(default_factory=lambda: JWT)
    algorithm: str = "RS256"
    kid: str | None = "k1"
    subject: str = "sub"
    twins: Mapping[str, tuple[Claims, str]] = field(default_factory=dict[str, tuple[Claims, str]])


def dates(life: int, **more: object) -> dict[str, object]:
    """Return when a token begins and ends."""
    return {"iat": NOW, "exp": NOW + life, **more}
