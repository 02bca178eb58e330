"""A fixture that runs the command line, and a server started by `itemwire dev`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from itemwire.cli import main

ITEMWIRE = str(Path(sys.executable).with_name("itemwire"))


class CommandLine:
    """Calls `itemwire` in this process."""

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command to its end; what it printed is in the result."""
        return CliRunner().invoke(main, arguments, input=stdin)


@pytest.fixture
def itemwire() -> CommandLine:
    """The command line."""
    return CommandLine()


@dataclass(frozen=True, slots=True)
class Started:
    """What `itemwire dev --json` printed."""

    url: str
    reader: str
    writer: str
    expired: str


@pytest.fixture(scope="package")
def dev() -> Iterator[Started]:
    """`itemwire dev` as a newcomer runs it, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ITEMWIRE_")}
    with subprocess.Popen(
        [ITEMWIRE, "dev", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        yield Started(**json.loads(process.stdout.readline()))
        process.terminate()
        process.wait(15)
