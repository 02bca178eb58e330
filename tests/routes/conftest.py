"""An application with the admin API, and its node."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from itemwire.assembly import Assembly
from itemwire.channels.node import Node
from itemwire.main import create_app
from itemwire.settings import Settings
from tests.conftest import SECRET


@pytest.fixture
def app() -> FastAPI:
    """Give an application that has the admin API."""
    return create_app(Settings(secret=SECRET, admin=True, _env_file=None))


@pytest.fixture
def node(app: FastAPI) -> Node:
    """Give its node."""
    return Assembly.of(app).node
