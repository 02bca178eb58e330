"""docs/http.md does what it says: its commands are run, against a server of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import page
from tests.docs.test_readme import free_port

TEXT = page("http.md")

# Values that differ from run to run, and what the page has in their place.
SHOWN = {
    r'"sent_at":[0-9.]+': '"sent_at":1795391058.925',
    r'"expires_at":[0-9]+': '"expires_at":1795391358',
    r"3fJr0T_x\.2\.[\w-]{22}": "3fJr0T_x.2.q1c0XV3nZ5uJ0rX8b0cD2A",
    r'"connection":"[^"]+"': '"connection":"QxgFRk2VsNCV"',
}


def session() -> list[tuple[str, str]]:
    """Return the shell session of the page: each command and what it prints."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return [(command, "\n".join(printed).strip("\n")) for command, printed in steps]


def test_the_commands_print_what_it_says(tmp_path: Path) -> None:
    """In one shell, in order; the epoch is that of the first answer."""
    mark, port = "-- next --", str(free_port())
    steps = session()
    script = f"echo '{mark}'\n".join(f"{command}\n" for command, _ in steps)
    script = script.replace("8000", port).replace(
        "itemwire serve &", "itemwire serve 2>log &\nuntil cat log | grep Listening; do :; done"
    )
    # Resume from the position that was answered, not from the page's.
    script = script.replace("3fJr0T_x", "'$EPOCH'").replace(
        """'{"status": "packed"}'\n""",
        """'{"status": "packed"}' | tee first\n"""
        """EPOCH=$(sed 's/.*"epoch":"\\([^"]*\\)".*/\\1/' first)\n""",
    )
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ITEMWIRE_")}

    done = subprocess.run(
        ["bash", "-c", f"trap 'kill $(jobs -p)' EXIT\ntouch log\n{script}"],
        cwd=tmp_path,
        env=environment | {"ITEMWIRE_PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
        check=False,
    )

    epoch = re.search(r'"epoch":"([^"]+)"', done.stdout)
    assert epoch is not None, done.stdout
    printed = done.stdout.replace(port, "8000").replace(epoch[1], "3fJr0T_x")
    for pattern, shown in SHOWN.items():
        printed = re.sub(pattern, shown, printed)
    outputs = [part.strip("\n") for part in printed.split(mark)]
    assert outputs == [expected for _, expected in steps]
