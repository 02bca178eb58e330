"""What the operating system says of this process."""

from __future__ import annotations

import pytest

from itemwire.ops import process


def test_knows_how_much_memory_it_has() -> None:
    """More than a megabyte, less than all there is."""
    assert 1_000_000 < process.memory_bytes() < 100 * 2**30


def test_knows_it_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: what it has had at most is as much as it has now, or more."""
    now = process.memory_bytes()
    monkeypatch.setattr(process, "_HAS_STATM", False)

    assert process.memory_bytes() > now // 2
