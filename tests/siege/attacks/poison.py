"""Payloads that are JSON, and break who reads them (B4)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Final

from typing_extensions import override

from tests.scenarios.clients import EVERYTHING, token
from tests.siege.attack import Attack, Outcome
from tests.siege.door import Door, Wire

PATIENCE: Final = 20.0
DEEP: Final = 900

PAYLOADS: Final = {
    "an integer of 5,000 digits": "9" * 5000,
    "a negative one": "-" + "9" * 5000,
    "a number that is infinite": "1e999",
    "one among others": '{"price": [1, 2, -1e999]}',
    "lists 900 deep": "[" * DEEP + "]" * DEEP,
    "objects 900 deep": '{"a":' * DEEP + "1" + "}" * DEEP,
}
TWINS: Final = {
    "an integer": str(2**53 - 1),
    "a large number": "1.7e308",
    "lists 20 deep": "[" * 20 + "]" * 20,
}


class Poison(Attack):
    """Publishes what a server may refuse, and reads back what it has stored."""

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        faults = []
        with door.socket("/items/poisoned/ws") as wire:
            stored = [name for name in PAYLOADS if _is_stored(wire, PAYLOADS[name])]
            faults += [f"stored {name}" for name in stored]
            refused = [name for name in TWINS if not _is_stored(wire, TWINS[name])]
            faults += [f"refused {name}" for name in refused]
            if not _is_answered(wire):
                faults.append("the error about half a surrogate pair has no ref")
        for name, can_read in READERS.items():
            for payload in stored:
                if not can_read(PAYLOADS[payload]):
                    faults.append(f"{name} cannot read {payload}")
        if stored and not _can_tail(door, len(stored)):
            faults.append("itemwire tail ended at what was stored")
        left_out = [] if shutil.which("node") else ["JavaScript's reader: there is no node"]
        if "CI" in os.environ:  # where it must be there
            faults += left_out
        return Outcome(faults, left_out=left_out, notes={"stored": len(stored)})


def _is_stored(wire: Wire, payload: str) -> bool:
    return wire.ask_text(f'{{"type":"publish","ref":1,"data":{payload}}}').startswith(
        b'{"type":"reply"'
    )


def _is_answered(wire: Wire) -> bool:
    """Return whether the answer to a text with half a surrogate pair names the request."""
    return b'"ref":7' in wire.ask_text(r'{"type":"publish","ref":7,"data":"\ud800"}')


def _can_load(payload: str) -> bool:
    """Return whether Python reads a payload, and as a value that JSON can have."""
    try:
        json.dumps(json.loads(payload), allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def _can_parse(payload: str) -> bool:
    """Return whether JavaScript reads a payload, and as a value that JSON can have."""
    node = shutil.which("node")
    if node is None:
        return True
    script = "const t=require('fs').readFileSync(0,'utf8');const v=JSON.stringify(JSON.parse(t));"
    script += "process.exit(v.includes('null')?1:0)"
    return subprocess.run([node, "-e", script], input=payload.encode(), check=False).returncode == 0


READERS: Final = {"Python": _can_load, "JavaScript": _can_parse}


def _can_tail(door: Door, count: int) -> bool:
    """Return whether our own reader survives all that is there."""
    program = "from itemwire.cli import main; main()"
    own = token("reader", EVERYTHING)
    options = ["--url", f"http://{door.host}:{door.port}", "--token", own]
    tail = ["tail", "poisoned", "--replay", str(count), "--count", str(count), *options]
    ended = subprocess.run(
        [sys.executable, "-c", program, *tail],
        check=False,
        timeout=PATIENCE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return ended.returncode == 0
