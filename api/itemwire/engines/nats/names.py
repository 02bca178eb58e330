"""The names of the streams and subjects of the NATS engine."""

from __future__ import annotations

import re
from typing import Final

SAFE: Final = re.compile(r"[^A-Za-z0-9_:-]")


class NatsNames:
    """The names of one world; worlds on the same server share none."""

    def __init__(self, world: str) -> None:
        self.channels: Final = world
        self.kept: Final = f"{world}-kept"
        self.notices: Final = f"{world}-notices"
        self.life: Final = f"{world}-life"
        self.live: Final = f"{world}.live"
        self.told: Final = f"{world}.told"
        self.turns: Final = f"{world}.turns"
        self.notice: Final = f"{world}.notice"
        self.life_subject: Final = f"{world}.life"
        self.channel_subjects: Final = f"{world}.c.*"
        self.key_subjects: Final = f"{world}.key.*.*"
        self.value_subjects: Final = f"{world}.value.*"
        self.secret: Final = f"{world}.value.=secret"  # no key is written like this
        self._world = world

    def channel(self, channel: str) -> str:
        """Return the subject that a channel's records are stored under."""
        return f"{self._world}.c.{token_of(channel)}"

    def live_of(self, channel: str) -> str:
        """Return the subject that a channel's records are republished under."""
        return f"{self.live}.{token_of(channel)}"

    def key(self, channel: str, key: str) -> str:
        """Return the subject of the position of a message that was published with a key."""
        return f"{self._world}.key.{token_of(channel)}.{token_of(key)}"

    def retained(self, channel: str) -> str:
        """Return the subject of a channel's last message; no key of a value is written like it."""
        return f"{self._world}.value.=r{token_of(channel)}"

    def value(self, key: str) -> str:
        """Return the subject that a value is stored under."""
        return f"{self._world}.value.{token_of(key)}"


def token_of(name: str) -> str:
    """Return any name as one token of a subject; two names never become the same."""
    return SAFE.sub(_written, name)


def _written(found: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in found[0].encode(errors="surrogatepass"))
