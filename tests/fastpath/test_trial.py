"""The trial of the fast path: it passes on this uvicorn, and says what another one lacks."""

import logging

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from itemwire.fastpath import trial
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.trial import fastpath_problem

find_problem = fastpath_problem.__wrapped__  # anew at each call


def test_the_fast_path_fits_the_installed_uvicorn(caplog: pytest.LogCaptureFixture) -> None:
    """What it does for that is not in the log, at the lowest level either."""
    caplog.set_level(logging.DEBUG)

    assert find_problem() is None
    assert [record for record in caplog.records if record.name == "uvicorn.error"] == []


def _of_two(_self: object, _config: object, _server_state: object) -> None:
    """Stand for a constructor of two parameters."""


@pytest.mark.parametrize(
    ("owner", "name", "instead", "told"),
    [
        pytest.param(
            HttpToolsProtocol, "__init__", _of_two, "TypeError: ", id="another-constructor"
        ),
        pytest.param(
            HttpToolsProtocol,
            "_get_upgrade",
            None,
            "TypeError: 'NoneType' object",
            id="no-such-name",
        ),
        pytest.param(
            HttpToolsProtocol,
            "on_headers_complete",
            lambda _self: None,
            "RuntimeError: GET /1 HTTP/1.1 is answered by b'HTTP/1.1 400 Bad Request",
            id="does-something-else",
        ),
        pytest.param(
            WebSocketProtocol, "begin", None, "TypeError: 'NoneType' object", id="no-sockets"
        ),
    ],
)
def test_says_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, instead: object, told: str
) -> None:
    """Whatever a later version changes ends in a sentence for the operator."""
    monkeypatch.setattr(owner, name, instead)

    assert (find_problem() or "").startswith(told)


def test_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that never comes must not keep a server from starting."""
    monkeypatch.setattr(trial, "SECONDS", 0.1)
    monkeypatch.setattr(HttpToolsProtocol, "data_received", lambda _self, _data: None)

    assert (find_problem() or "").startswith("TimeoutError")


def test_a_server_tries_it_once() -> None:
    """Each server that a test run starts would pay for it again."""
    assert fastpath_problem() is None
    assert fastpath_problem.cache_info().currsize == 1
