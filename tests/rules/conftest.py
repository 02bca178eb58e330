"""Runs the application of `shop`."""

from collections.abc import Iterator
from typing import Final

import pytest

from itemwire.serving.server import FASTPATH, Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import STOCK, live_application
from tests.rules.shop import application

CLASSES: Final[dict[str, Protocols]] = {"fastpath": FASTPATH, "stock": STOCK}


@pytest.fixture(params=list(CLASSES), scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """Give a running application, on each of the protocol classes."""
    with live_application(application(), protocols=CLASSES[request.param]) as running:
        yield running
