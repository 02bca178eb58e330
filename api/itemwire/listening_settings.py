"""The settings of what a server listens on beside a port, and of the proxies before it."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from itemwire_auth.forwarded import TrustedProxies
from itemwire_auth.settings import AuthSettings, CommaSeparated, Count


def _octal(value: object) -> object:
    """Return the number that octal digits stand for; others are told as no permissions."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError("is written as three octal digits, such as 660")  # noqa: TRY004 - pydantic's
    if re.fullmatch(r"(?:0o)?0?[0-7]{3}", value) is None:
        raise ValueError("is written as three octal digits, such as 660")
    return int(value.removeprefix("0o"), 8)


FileMode = Annotated[int, BeforeValidator(_octal), Field(ge=0, le=0o777)]


class ListeningSettings(AuthSettings):
    """Settings of listeners and proxies; `Settings` has all others, address and port included."""

    uds: Path | None = Field(
        default=None,
        description="Path of a Unix socket to listen on in place of a port; a file that a killed "
        "server has left there is replaced.",
    )
    uds_mode: FileMode = Field(
        default=0o660, description="Permissions of that file in octal: who may connect to it."
    )
    fd: Count | None = Field(
        default=None,
        ge=0,
        description="Number of an open socket to listen on in place of a port, such as 3 of a "
        "systemd socket unit.",
    )
    trusted_proxies: CommaSeparated = Field(
        default=("127.0.0.1", "unix"),
        description="Addresses and networks of proxies whose X-Forwarded-For, X-Forwarded-Proto "
        "and Forwarded are trusted; `unix` for those on a Unix socket, `*` for everybody.",
    )

    @model_validator(mode="after")
    def _listens_on_one_thing(self) -> Self:
        """Refuse a path beside a descriptor: which of them is meant would be a guess."""
        if self.uds is not None and self.fd is not None:
            raise ValueError("ITEMWIRE_UDS and ITEMWIRE_FD are set together: keep only one")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _can_match(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a proxy that no peer can be: its clients would all count as one."""
        TrustedProxies(entries)
        return entries
