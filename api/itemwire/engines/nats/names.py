"""What everything of the NATS engine is called: streams, and subjects."""

from __future__ import annotations

import re
from typing import Final

SAFE: Final = re.compile(r"[^A-Za-z0-9_:-]")


class NatsNames:
    """What everything is called on the server; a world has names of its own."""

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
        self._world = world

    def channel(self, channel: str) -> str:
        """Name where a channel's records are stored."""
        return f"{self._world}.c.{token_of(channel)}"

    def live_of(self, channel: str) -> str:
        """Name where a channel's records are heard, once they are stored."""
        return f"{self.live}.{token_of(channel)}"

    def key(self, channel: str, key: str) -> str:
        """Name where it is kept what a message with a key has become."""
        return f"{self._world}.key.{token_of(channel)}.{token_of(key)}"

    def value(self, key: str) -> str:
        """Name where a value is kept."""
        return f"{self._world}.value.{token_of(key)}"


def token_of(name: str) -> str:
    """Write any name as one token of a subject; no two become one."""
    return SAFE.sub(_written, name)


def _written(found: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in found[0].encode(errors="surrogatepass"))
