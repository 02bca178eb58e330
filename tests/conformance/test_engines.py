"""Runs the engine contracts on every engine there is a row for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from itemwire.engines import ENGINES, open_engine
from itemwire.engines.base import ChannelBounds, Engine
from tests.conformance.durable_contract import DurableContract
from tests.conformance.engine_contract import EngineContract
from tests.conformance.engine_urls import (
    BY_PROCESS,
    DURABLE,
    ENGINE_URLS,
    LISTS,
    OF_ONE_NODE,
    SAME,
)
from tests.conformance.erase_contract import EraseContract
from tests.conformance.retained_contract import NodesRetainedContract, RetainedContract
from tests.conformance.secret_contract import (
    NodesSecretContract,
    SecretContract,
    SharedSecretContract,
)
from tests.conformance.telling_contract import NodesTellingContract, TellingContract
from tests.conformance.value_contract import ValueContract

ROWS: Final = (ENGINES.keys() - SAME) | LISTS | BY_PROCESS


@pytest.fixture(scope="module", params=sorted(ROWS))
def engine_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Take the next engine of the table."""
    with ENGINE_URLS[request.param](tmp_path_factory.mktemp(request.param)) as url:
        yield url


class ByURL:
    """Each engine by its URL, as a setting names it."""

    @pytest.fixture(autouse=True)
    def _take_url(self, engine_url: str) -> None:
        self.url = engine_url

    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        return open_engine(self.url, bounds)


class TestEngines(ByURL, EngineContract):
    """Channels."""


class TestValues(ByURL, ValueContract):
    """Values that are taken once."""


class TestTelling(ByURL, TellingContract):
    """Words that are told and not stored."""


class TestNodesTelling(ByURL, NodesTellingContract):
    """The same where nodes share an engine."""

    pytestmark = pytest.mark.parametrize("engine_url", sorted(ROWS - OF_ONE_NODE), indirect=True)


class TestRetained(ByURL, RetainedContract):
    """The last message of channels that retain it."""


class TestErase(ByURL, EraseContract):
    """Histories that an operator empties."""


class TestNodesRetained(ByURL, NodesRetainedContract):
    """The same where nodes share a store."""

    pytestmark = pytest.mark.parametrize("engine_url", sorted(ROWS - OF_ONE_NODE), indirect=True)


class TestNodesSecrets(ByURL, NodesSecretContract):
    """The secret of nodes that share a store; the first test that asks for it makes it."""

    pytestmark = pytest.mark.parametrize("engine_url", sorted(ROWS - OF_ONE_NODE), indirect=True)


class TestSecrets(ByURL, SecretContract):
    """The secret of the store."""


class TestSharedSecrets(ByURL, SharedSecretContract):
    """The secret after an end and a start of the engine."""

    pytestmark = pytest.mark.parametrize("engine_url", sorted(ROWS - {"memory"}), indirect=True)


@pytest.mark.parametrize("engine_url", sorted(DURABLE), indirect=True)
class TestDurable(ByURL, DurableContract):
    """What is there after an end and a start."""
