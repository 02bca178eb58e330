"""Tests of addresses.py: the normal form of addresses, and what a client is counted by."""

from __future__ import annotations

import pytest

from itemwire_auth.addresses import parse_networks


@pytest.mark.parametrize("text", ["nowhere", "10.0.0.1/8", "::1/129", ""])
def test_refuses_a_network_that_is_none(text: str) -> None:
    """A typing error must not exempt anybody."""
    with pytest.raises(ValueError, match="ITEMWIRE_THROTTLE_EXEMPT"):
        parse_networks([text])
