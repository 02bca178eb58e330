"""Runs uvicorn's own protocol tests with our two classes; arguments are passed to pytest.

The tests come from the source distribution of the installed version of uvicorn. `SUITE_OF` selects
the classes: `ours` (the default) or, as a control, `stock`. `SUITE_WORK` names a folder to keep the
downloads in, and `SUITE_ALL=1` also runs the tests that are normally deselected.
"""

import asyncio
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import pytest
import uvicorn
from uvicorn.importer import import_from_string

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ("tests/protocols/test_websocket.py", "tests/protocols/test_http.py")

CLASSES = {
    "stock": "uvicorn.protocols.websockets.websockets_sansio_impl:WebSocketsSansIOProtocol",
    "ours": "itemwire.fastpath.protocol:WebSocketProtocol",
}
# Our class must work with uvicorn's HTTP classes too, because a user may set `--ws` only.
HTTP_CLASSES = {
    "httptools": "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol",
    "h11": "uvicorn.protocols.http.h11_impl:H11Protocol",
    "ours": os.environ.get("SUITE_HTTP", "itemwire.fastpath.http:HttpProtocol"),
}

TURNS = 3  # of the event loop, until a request that waits for its turn is begun

WORDS = "our close reason differs; tests/conformance tests ours"
TIMERS = "uses uvicorn's own timers by name; tests/conformance tests what a peer sees"
SKIPPED = "uvicorn skips it for its own class too: both send a denial's start and body as one"
TIMER_SHARED = "uvicorn's timer by name; `test_keepalive_timeout` tests when ours ends a connection"
HTTPTOOLS = "uvicorn skips it for its own httptools class, which ours extends"
DESELECTED = {
    "test_server_keepalive_ping_timeout": WORDS,
    "test_server_keepalive_ping_pong": TIMERS,
    "test_server_keepalive_disabled": TIMERS,
    "test_close_gives_up_when_the_peer_never_replies": TIMERS,
    "test_server_reject_connection_with_invalid_msg": SKIPPED,
    "test_server_reject_connection_with_missing_body": SKIPPED,
    "test_server_multiple_websocket_http_response_start_events": SKIPPED,
    "test_keepalive_timeout_with_pipelined_requests": TIMER_SHARED,
    "test_keepalive_timeout_with_pipelined_websocket_upgrade": HTTPTOOLS,
}


def pytest_generate_tests(metafunc):
    """Parametrise with our class or the control, in place of those in uvicorn's conftest."""
    kind = os.environ.get("SUITE_OF", "ours")
    if "ws_protocol_cls" in metafunc.fixturenames:
        # The suite sets a `close_timeout` on each instance, which needs a `__dict__`.
        tested = import_from_string(CLASSES[kind])
        if kind == "ours":
            tested = type(tested.__name__, (tested,), {})
        metafunc.parametrize("ws_protocol_cls", [tested], ids=[kind])
    if "http_protocol_cls" in metafunc.fixturenames:
        is_about_http = metafunc.module.__name__.endswith("test_http")
        names = _http_classes(kind, only_ours=is_about_http)
        classes = [import_from_string(HTTP_CLASSES[name]) for name in names]
        metafunc.parametrize("http_protocol_cls", classes, ids=names)


def _http_classes(kind, *, only_ours):
    if kind == "stock":
        return [name for name in HTTP_CLASSES if name != "ours"]
    return ["ours"] if only_ours else list(HTTP_CLASSES)


def pytest_collection_modifyitems(config, items):
    """Deselect tests of uvicorn's own texts and internals; `stock` runs everything."""
    if os.environ.get("SUITE_OF", "ours") == "stock" or os.environ.get("SUITE_ALL"):
        return
    left_out = [item for item in items if item.originalname in DESELECTED]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def whole_transport(request, monkeypatch):
    """Add to the suite's fake transport the methods that every asyncio transport has."""
    transport = getattr(request.module, "MockWriteTransport", None)
    if transport is None:
        return
    additions = {
        "abort": transport.close,
        "can_write_eof": lambda _: False,
        "get_write_buffer_size": lambda _: 0,
        "set_write_buffer_limits": lambda *_, **__: None,
        "writelines": lambda self, parts: self.write(b"".join(parts)),
    }
    for name, method in additions.items():
        monkeypatch.setattr(transport, name, method, raising=False)
    connection = request.module.MockWebSocketConnection
    if not hasattr(import_from_string(CLASSES["ours"]), "close_timer"):
        # The property reads uvicorn's timer; it means that the socket is not closed yet.
        waiting = property(lambda self: not (self.transport_closed or self._connection_lost))
        monkeypatch.setattr(connection, "awaiting_close_reply", waiting)


@pytest.fixture(autouse=True)
def whole_loop(request, monkeypatch):
    """Add to the suite's fake event loop, and to its other fake transport, what ours uses."""
    loop = getattr(request.module, "MockLoop", None)
    if loop is None:
        return
    run_one = loop.run_one

    async def run_one_turn(self):
        for _ in range(TURNS):  # what was to be called soon comes before the next task
            self.run_later(0)
            if self._tasks:
                break
            await asyncio.sleep(0)  # the places of a turn are given out by the loop that runs
        return await run_one(self)

    monkeypatch.setattr(loop, "run_one", run_one_turn)
    additions = {
        "now": 0.0,
        "time": lambda self: self.now,
        "call_at": _call_at,
        "call_soon": lambda self, call: self.call_later(0, call),
    }
    for name, method in additions.items():
        monkeypatch.setattr(loop, name, method, raising=False)
    transport = request.module.MockTransport
    monkeypatch.setattr(transport, "abort", transport.close, raising=False)
    monkeypatch.setattr(transport, "can_write_eof", lambda _: False, raising=False)


def _call_at(loop, when, callback):
    """Call back at a time of the fake loop, whose clock then stands there."""

    def wake_up():
        loop.now = when
        callback()

    return loop.call_later(when - loop.now, wake_up)


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    subprocess.run(command, check=True)


def _run(work, options):
    """Download the tests and the packages that only they need, and run them."""
    name = f"uvicorn-{uvicorn.__version__}"
    suite, extras = work / name, work / "extras"
    if not suite.exists():
        pinned = f"uvicorn=={uvicorn.__version__}"
        _pip("download", pinned, "--no-binary", ":all:", "--no-deps", "--dest", str(work))
        with tarfile.open(work / f"{name}.tar.gz") as archive:
            archive.extractall(work, filter="data")
        _pip("install", "--target", str(extras), "-c", str(ROOT / "constraints.txt"), "httpx2")
        # A conftest's fixtures would win over our parameters: rename them.
        conftest = suite / "tests" / "conftest.py"
        text = conftest.read_text()
        conftest.write_text(text.replace("_protocol_cls(", "_protocol_cls_of_theirs("))
    command = [
        *(sys.executable, "-m", "pytest", "-p", pathlib.Path(__file__).stem),
        *(
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-o",
            "addopts=",
            "--timeout=20",
            "-q",
            "-n",
            "2",
        ),
        *(*TESTS, *options),
    ]
    path = os.pathsep.join(map(str, (suite, pathlib.Path(__file__).parent, ROOT, extras)))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=suite, env=environment, check=False, timeout=600).returncode


def main():
    kept = os.environ.get("SUITE_WORK")
    if kept:
        pathlib.Path(kept).mkdir(parents=True, exist_ok=True)
        return _run(pathlib.Path(kept).resolve(), sys.argv[1:])
    with tempfile.TemporaryDirectory() as work:
        return _run(pathlib.Path(work), sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
