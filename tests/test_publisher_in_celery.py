"""A worker process of Celery publishes inside a task, and a client of the server hears it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import settings_for
from tests.conformance.engine_urls import ENGINE_URLS
from tests.test_publisher import TOKENS, listen

pytestmark = pytest.mark.server

ROOT: Final = Path(__file__).parent.parent
CELERY: Final = [sys.executable, "-m", "celery", "-A", "tests.celery_worker"]
PATIENCE: Final = 40.0  # two interpreters start, on a machine that may be busy


@pytest.fixture(params=["redis", "http"])
def scene(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[LiveServer, dict[str, str]]]:
    """Run a server, and give the environment of a worker beside it."""
    names = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    environment = {**names, "WORKER_FOLDER": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with ExitStack() as stack:
        is_shared = request.param == "redis"
        url = stack.enter_context(ENGINE_URLS["redis" if is_shared else "memory"](tmp_path))
        server = stack.enter_context(live_server(settings_for(TOKENS, engine_url=url)))
        if is_shared:
            environment["ITEMWIRE_ENGINE_URL"] = url
        else:
            environment["ITEMWIRE_URL"] = server.url
            environment["ITEMWIRE_TOKEN"] = TOKENS.good(sub="worker", scope="items:order:*:publish")
        yield server, environment


def test_a_task_publishes(scene: tuple[LiveServer, dict[str, str]], tmp_path: Path) -> None:
    """The worker forks its processes after it imported the publisher."""
    server, environment = scene
    with server.client(listen("order:7")) as client:
        client.welcome()
        command = [*CELERY, "worker", "--concurrency", "1", "--without-gossip", "--without-mingle"]
        with (
            (tmp_path / "log").open("w") as log,
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as worker,
        ):
            try:
                call = [*CELERY, "call", "tests.celery_worker.pack", "--args", "[7]"]
                subprocess.run(call, cwd=ROOT, env=environment, check=True, timeout=PATIENCE)
                message = client.message(timeout=PATIENCE)
            finally:
                worker.terminate()

    assert message["data"]["status"] == "packed"
    assert message["data"]["pid"] != worker.pid
    assert worker.returncode == 0, (tmp_path / "log").read_text()
