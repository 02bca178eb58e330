"""Suites that every implementation of an interface must pass."""

import pytest

pytest.register_assert_rewrite(
    "tests.conformance.asked_engine", "tests.conformance.engine_contract"
)
