"""A server whose application detaches its sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fastpath import served
from tests.fastpath.handing import Handing
from tests.fastpath.served import Site, serving


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Handing:
    """Put the application at `/detach`."""
    application = Handing()
    monkeypatch.setitem(served.ROUTES, "/detach", application)
    return application


@pytest.fixture
def site(application: Handing) -> Iterator[Site]:
    """Run it."""
    with serving() as site:
        yield site
