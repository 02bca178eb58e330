"""A uvicorn that the fast path does not fit: the log says so once, and the driver serves."""

import json
import sys
from collections.abc import Iterator

import pytest
import uvicorn

from itemwire.serving.server import FASTPATH, fitting_protocols
from tests.scenarios.clients import token
from tests.scenarios.processes import Started, started

# What a version without this name looks like to us: uvicorn's own classes do without it by then.
OTHER_UVICORN = """
import uvicorn.protocols.http.flow_control
import uvicorn.protocols.http.httptools_impl

del uvicorn.protocols.http.flow_control.FlowControl

from itemwire.cli import main

main()
"""


@pytest.fixture(scope="module")
def mismatched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Run `itemwire serve` on such a uvicorn."""
    folder = tmp_path_factory.mktemp("mismatched")
    script = folder / "other_uvicorn.py"
    script.write_text(OTHER_UVICORN, "utf-8")
    command = [sys.executable, str(script), "serve", "--port", "0"]
    with started(command, folder, log_format="json") as running:
        yield running


@pytest.mark.server
def test_the_driver_serves(mismatched: Started) -> None:
    """A socket joins, publishes and hears; a stranger is told why it is refused."""
    with mismatched.server.client(f"/items/42/ws?token={token()}") as client:
        client.welcome()
        client.publish("hello")
        heard = client.message()["data"]
    refusal = mismatched.server.refusal("/items/42/ws")

    assert heard == "hello"
    assert (refusal.code, refusal.reason) == (1008, "credentials_missing")


@pytest.mark.server
def test_the_log_says_why_once(mismatched: Started) -> None:
    """With the versions, by which an operator finds one that fits."""
    events = [json.loads(line) for line in mismatched.lines if line.startswith("{")]
    (told,) = [one for one in events if one["event"] == "fastpath_off"]

    assert told["uvicorn"] == uvicorn.__version__
    assert "cannot import name 'FlowControl'" in told["problem"]
    assert told["level"] == "warning"


def test_the_fast_path_serves_where_it_fits(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is said."""
    assert fitting_protocols() == FASTPATH
    assert caplog.records == []
