"""A conversation as it was recorded before clients could ask for more on the wire.

Who asks for nothing new gets the same bytes, field by field and in the same order. A line of the
recording is one step:

    NAME opens PATH SUBPROTOCOL     connect; `{token}` is a token of NAME, `-` is no subprotocol
    NAME > FRAME                    send a text frame (`>>`: binary, as hexadecimal digits)
    NAME < FRAME                    get a text frame (`<<`: binary)
    NAME ends CODE REASON           the server closes
    NAME leaves                     close
    clock SECONDS                   move the server's clock

`#` stands for what differs from run to run, such as ids and times, and `{resume}` for the newest
`resume` that NAME got.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from websockets.sync.client import ClientConnection

from itemwire.settings import Settings
from tests.scenarios.clients import EVERYTHING, PATIENCE, TALKING, closed, token
from tests.scenarios.conftest import Serve, Timed, serve_timed

RECORDING: Final = Path(__file__).with_name("recorded") / "conversation.txt"

SCOPES: Final = {"alice": EVERYTHING, "carol": "items:recorded:1:subscribe"}

_TEXTS: Final = re.compile(r'"(connection|epoch|resume)":"[^"]+"')
_NUMBERS: Final = re.compile(r'"(sent_at|expires_at|retry_after_ms)":[0-9.]+')
_RESUME: Final = re.compile(r'"resume":"([^"]+)"')


def without_chance(frame: str) -> str:
    """Return a frame with `#` in the place of what differs from run to run."""
    return _NUMBERS.sub(r'"\1":#', _TEXTS.sub(r'"\1":"#"', frame))


class Stage:
    """The clients of a conversation, by name."""

    def __init__(self, timed: Timed, open_clients: ExitStack) -> None:
        self._timed = timed
        self._open_clients = open_clients
        self._clients: dict[str, ClientConnection] = {}
        self._resumes: dict[str, str] = {}

    def play(self, line: str) -> str:
        """Do one step, and return it with what was got in place of what was recorded."""
        name, kind, *rest = line.split(" ", 2)
        if name == "clock":
            self._timed.clock.advance(float(kind))
            return line
        steps: dict[str, Callable[[str, str], str]] = {
            "opens": self._open,
            ">": self._send,
            ">>": self._send_binary,
            "<": self._read,
            "<<": self._read_binary,
            "ends": self._end,
            "leaves": self._leave,
        }
        said = steps[kind](name, rest[0] if rest else "")
        return f"{name} {kind} {said}".rstrip()

    def _open(self, name: str, rest: str) -> str:
        path, subprotocol = rest.split(" ")
        offered = () if subprotocol == "-" else (subprotocol,)
        path = path.replace("{token}", token(name, SCOPES.get(name, TALKING)))
        path = path.replace("{resume}", self._resumes.get(name, ""))
        opening = self._timed.server.connect(path, subprotocols=offered)
        self._clients[name] = self._open_clients.enter_context(opening)
        return rest

    def _send(self, name: str, frame: str) -> str:
        self._clients[name].send(frame.replace("{resume}", self._resumes.get(name, "")))
        return frame

    def _send_binary(self, name: str, digits: str) -> str:
        self._clients[name].send(bytes.fromhex(digits))
        return digits

    def _read(self, name: str, _recorded: str) -> str:
        frame = self._clients[name].recv(timeout=PATIENCE, decode=True)
        resume = _RESUME.search(frame)
        if resume is not None:
            self._resumes[name] = resume[1]
        return without_chance(frame)

    def _read_binary(self, name: str, _recorded: str) -> str:
        frame = self._clients[name].recv(timeout=PATIENCE)
        return frame.hex() if isinstance(frame, bytes) else frame

    def _end(self, name: str, _recorded: str) -> str:
        code, reason = closed(self._clients[name])
        return f"{code} {reason}"

    def _leave(self, name: str, _recorded: str) -> str:
        self._clients[name].close()
        return ""


@pytest.fixture
def stage(serve: Serve, settings: Settings) -> Iterator[Stage]:
    """Run a server of the conversation's own: what others do there would be heard."""
    with serve_timed(serve, settings) as timed, ExitStack() as open_clients:
        yield Stage(timed, open_clients)


def test_a_client_that_asks_for_nothing_new_hears_what_it_always_did(stage: Stage) -> None:
    """Clients of today go on working, whatever the wire gains."""
    recorded = [line for line in RECORDING.read_text().splitlines() if line[:1] not in {"", "#"}]

    assert [stage.play(line) for line in recorded] == recorded
