"""Runs the engine contract on every engine there is a row for."""

from __future__ import annotations

import pytest
from typing_extensions import override

from api.engines import ENGINES, open_engine
from api.engines.base import Bounds, Engine
from tests.conformance.engine_contract import EngineContract


@pytest.mark.usefixtures("scheme")
class TestEngines(EngineContract):
    """Each engine by its URL, as a setting names it."""

    @pytest.fixture(params=sorted(ENGINES))
    def scheme(self, request: pytest.FixtureRequest) -> None:
        """Take the next engine of the table."""
        self.url = f"{request.param}://"

    @override
    def open_engine(self, bounds: Bounds) -> Engine:
        return open_engine(self.url, bounds)
