"""A test that waits for an answer waits as long as a busy machine may take."""

import httpx

from tests.conftest import CALL_SECONDS


def test_a_call_without_a_limit_of_its_own_is_patient() -> None:
    """So is each of the functions, such as `httpx.get`, whose limit is this one."""
    with httpx.Client() as client:
        assert client.timeout == httpx.Timeout(CALL_SECONDS)


def test_a_call_with_a_limit_of_its_own_keeps_it() -> None:
    """What a test wants to see time out does."""
    with httpx.Client(timeout=0.5) as client:
        assert client.timeout == httpx.Timeout(0.5)
