"""Runs the engine contracts on every engine there is a row for."""

from __future__ import annotations

import pytest

from api.engines import ENGINES, open_engine
from api.engines.base import Bounds, Engine
from tests.conformance.engine_contract import EngineContract
from tests.conformance.value_contract import ValueContract


@pytest.mark.usefixtures("scheme")
class ByURL:
    """Each engine by its URL, as a setting names it."""

    @pytest.fixture(params=sorted(ENGINES))
    def scheme(self, request: pytest.FixtureRequest) -> None:
        """Take the next engine of the table."""
        self.url = f"{request.param}://"

    def open_engine(self, bounds: Bounds) -> Engine:
        """Make the engine under test."""
        return open_engine(self.url, bounds)


class TestEngines(ByURL, EngineContract):
    """Channels."""


class TestValues(ByURL, ValueContract):
    """Values that are taken once."""
