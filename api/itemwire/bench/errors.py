"""Why a measure could not be taken.

BenchError
├── Unreachable       no server answers at the address
├── HandshakeRefused  the server refused a handshake or closed a connection
└── TooFewFiles       this process may not open as many sockets
"""


class BenchError(Exception):
    """A measure could not be taken; the message says why."""


class Unreachable(BenchError):
    """No server answers at the address."""


class HandshakeRefused(BenchError):
    """The server refused a handshake: by a status, by a close code, or by not answering."""


class TooFewFiles(BenchError):
    """This process may not open as many sockets as the measure needs."""
