"""What a client asks of its connection beside a codec, by the query of its handshake."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What a client asked for; one that asks for nothing gets what clients always got.

    With `hints` it is told what it would otherwise need tables or a clock of its own for. With a
    `heartbeat` it gets a `ping` every so many seconds.
    """

    hints: bool = False
    heartbeat: int = 0


NO_OPTIONS: Final = ClientOptions()
