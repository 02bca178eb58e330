"""Why a measure could not be taken.

BenchError
├── Unreachable     nobody answers at the address
├── Refused         the server answered, and said no
└── TooFewFiles     this process may not open so many sockets
"""


class BenchError(Exception):
    """A measure could not be taken; the message says why."""


class Unreachable(BenchError):
    """Nobody answers at the address."""


class Refused(BenchError):
    """The server answered, and said no: with a status, a close code or silence."""


class TooFewFiles(BenchError):
    """This process may not open as many sockets as were asked for."""
