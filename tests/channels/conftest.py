"""Fixtures: a started node on an engine that answers at once, or late."""

from __future__ import annotations

import pytest

from tests.fakes import LateEngine, Stage


@pytest.fixture
def stage() -> Stage:
    """Give a node on the memory engine."""
    return Stage()


@pytest.fixture
def late_engine() -> LateEngine:
    """Give an engine that answers when it is told to."""
    return LateEngine()


@pytest.fixture
def late_stage(late_engine: LateEngine) -> Stage:
    """Give a node on the engine that answers late."""
    return Stage(late_engine)
