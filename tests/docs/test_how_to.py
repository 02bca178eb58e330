"""The how-tos do what they say: a reader's folder, a reader's shell, and what it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.clients.node import NEWER
from tests.docs.pages import DOCS, page
from tests.docs.test_readme import free_port

pytestmark = pytest.mark.server
FOLDER: Final = DOCS / "how-to"
LIST: Final = "how-to/README.md"
NAMES: Final = sorted(
    f"how-to/{path.name}" for path in FOLDER.glob("*.md") if path.stem != "README"
)
FILE: Final = re.compile(r"<!-- ((?:docs/examples/)?\w+\.\w+) -->\n\n```\w+\n(.*?)```", re.DOTALL)
BLOCK: Final = re.compile(r"^ *```(\w+)", re.MULTILINE)
SERVED: Final = "Listening on http://127.0.0.1:8000"


def files(text: str) -> dict[str, str]:
    """Return the files that a page shows, by name."""
    return dict(FILE.findall(text))


def session(text: str) -> list[tuple[str, str]]:
    """Return each command of a page's shell session, and what it prints."""
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], ""))
            else:
                command, printed = steps[-1]
                steps[-1] = (command, f"{printed}{line}\n")
    return steps


def run(steps: list[tuple[str, str]], folder: Path, port: str) -> list[str]:
    """Run a session in one shell; return what each of its commands prints."""
    mark = "-- next --"
    script = f"echo '{mark}'\n".join(f"{command}\n" for command, _ in steps)
    # The server is the one thing that runs on; wait for its line before going on.
    wait = "until grep -h Listening log; do sleep 0.1; kill -0 $! || { cat log; exit; }; done"
    script = re.sub(r"(itemwire serve .*) &\n", rf"\1 2>log &\n{wait}\n", script)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ITEMWIRE_")}
    path = [str(Path(sys.executable).parent), str(NEWER.parent), environment["PATH"]]
    done = subprocess.run(
        ["bash", "-c", f"trap 'kill $(jobs -p)' EXIT\ntouch log\n{script}".replace("8000", port)],
        cwd=folder,
        env=environment | {"ITEMWIRE_PORT": port, "PATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
        check=False,
    )
    return [part.lstrip("\n") for part in done.stdout.replace(port, "8000").split(f"{mark}\n")]


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_gets_what_the_page_prints(name: str, tmp_path: Path) -> None:
    """With the files of the page in a folder, and the commands as they stand there."""
    port = str(free_port())
    text = page(name)
    for file, content in (files(page(LIST)) | files(text)).items():
        (tmp_path / Path(file).name).write_text(content.replace("8000", port))
    steps = session(text)

    assert steps[0][0].startswith("itemwire serve --app ")
    assert steps[0][1] == f"{SERVED}\n"
    assert run(steps, tmp_path, port) == [printed for _, printed in steps]


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_a_file_or_a_session(name: str) -> None:
    """What is neither would be run by nobody."""
    text = page(name)

    assert len(BLOCK.findall(text)) == len(files(text)) + text.count("```console")
    assert all(heading in text for heading in ("## The server", "## Try it", "## What to think of"))


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_shown_as_they_are(name: str) -> None:
    """Those that a browser tests lie in docs/examples; a page shows them from the imports on."""
    for file, content in files(page(name)).items():
        if file.startswith("docs/examples/"):
            assert (DOCS.parent / file).read_text().endswith(content)


def test_the_list_names_every_page() -> None:
    """And no other."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", page(LIST)))

    assert {f"how-to/{name}" for name in linked} == set(NAMES)
