"""The measurement of nodes: that it runs, and that its figures are of what they say."""

from __future__ import annotations

import pytest

from benchmarks.nodes import measure


@pytest.mark.server
def test_two_nodes_are_measured_at_rest_while_callers_join_and_after_a_break() -> None:
    """A private join is heard by its own node alone, and a break costs no page of members."""
    figures = measure(2, seconds=1, members=40, items=2, settle=0)

    assert figures["nodes"] == 2
    assert 0 < figures["private_bytes_a_join"] < 2000
    assert 0 < figures["at_rest_kb_s"] < figures["private_kb_s"]
    for what in ("break", "busy_break", "begin"):
        assert figures[f"{what}_mb"] < 1
        assert figures[f"{what}_right_after_s"] >= figures[f"{what}_calm_s"] >= 0
