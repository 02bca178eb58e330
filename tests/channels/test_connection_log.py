"""The connection log counts every connection, however it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.close_reasons import DRAINING, INTERNAL
from tests.fakes import PLAIN, Stage


@given(fates=st.lists(st.sampled_from(["stays", "is ended", "goes", "falls behind and goes"])))
def test_what_was_opened_is_open_or_has_ended(fates: list[str]) -> None:
    """However each of them goes, and in whatever order."""
    stage = Stage()
    for fate in fates:
        peer = stage.join(codec=PLAIN)
        if fate == "is ended":
            peer.connection.end(INTERNAL)
        if fate == "falls behind and goes":
            peer.connection.paused()
        if fate.endswith("goes") or fate == "is ended":
            peer.session.closed(1001)
    counters = stage.node.counters

    assert counters.opened.total() == len(fates)
    assert counters.open.total() == fates.count("stays")
    assert counters.ended.total() == len(fates) - fates.count("stays")
    assert stage.node.connection_log.behind == (0, 0)


@pytest.mark.parametrize(("code", "noted"), [(1000, 1000), (1015, 1015), (1004, 0), (3000, 0)])
def test_a_code_of_no_meaning_is_noted_as_none(stage: Stage, code: int, noted: int) -> None:
    """A client has thousands to choose from."""
    stage.join().session.closed(code)

    assert stage.node.counters.ended == {("gone", noted): 1}


def test_logs_each_end_once_with_its_connection(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket says that it is gone after it was closed: that is no other end."""
    caplog.set_level("INFO")
    peer = stage.join()
    peer.connection.end(DRAINING)
    peer.session.closed(1012)

    assert caplog.messages == ["ended connection=c1 subject='alice' reason=draining code=1012"]
