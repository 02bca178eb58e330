"""An application of each test's own."""

import pytest

from tests.authorization.application import Application


@pytest.fixture
def application() -> Application:
    """Give an application without an override."""
    return Application()
