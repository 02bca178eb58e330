"""Publishes to a server that was started by `itemwire dev --json`, and reads the message back."""

import json
import os
import pathlib
import subprocess
import sys
import time

started, itemwire = pathlib.Path(sys.argv[1]), str(pathlib.Path(sys.argv[2]).resolve())
deadline = time.monotonic() + 30
while not started.read_text().strip():
    if time.monotonic() > deadline:
        sys.exit("the server did not start within 30 s")
    time.sleep(0.05)
server = json.loads(started.read_text())
environment = os.environ | {"ITEMWIRE_URL": server["url"], "ITEMWIRE_TOKEN": server["writer"]}


def run(*arguments: str) -> str:
    done = subprocess.run(
        [itemwire, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    return done.stdout.strip()


print(run("publish", "42", "hello"))
line = run("tail", "42", "--replay", "1", "--count", "1")
print(line)
sys.exit(0 if line == "1 writer: hello" else f"expected the message, got {line!r}")
