"""Results as a table and as JSON."""

import pytest

from itemwire.bench.report import as_json, remarks, table
from itemwire.bench.results import Result, busy_note, median_of


def result(per_s: float, *problems: str) -> Result:
    """A window of fan-out."""
    figures = {"per_s": per_s, "p50_ms": 1.25, "p95_ms": 2, "p99_ms": 3, "missing": 0}
    return Result("fanout", {"connections": 1000, "items": 1, "in_flight": 8}, figures, problems)


def test_the_middle_one_of_three_is_given() -> None:
    """One run that was disturbed does not show."""
    middle = median_of([result(900), result(10), result(1000)])

    assert middle.figures["per_s"] == 900


def test_the_problems_of_all_are_given() -> None:
    """A run that lost something is not averaged away."""
    middle = median_of([result(1), result(2, "lost"), result(3, "lost", "late")])

    assert middle.problems == ("lost", "late")


def test_the_table_has_a_line_a_result() -> None:
    """With figures under their heads."""
    idle = Result("idle", {"connections": 5000, "items": 1000}, {"bytes_per_connection": 2150.4})

    head, fanout, memory = table([result(123456.7), idle]).splitlines()

    assert head.split()[:2] == ["measure", "of"]
    assert "fanout   1 item x 1000, 8 in flight" in fanout
    assert fanout.split()[-5:] == ["123,457", "1.25", "2.00", "3.00", "0"]
    assert memory.split()[-4:] == ["5", "2.1", "KiB", "each"]


def test_what_was_wrong_is_said_with_where() -> None:
    """Below a table of many lines."""
    assert remarks([result(1), result(2, "lost")]) == ["fanout, 1 item x 1000, 8 in flight: lost"]


def test_json_has_all_of_it() -> None:
    """For programs, which need no rounding to the eye."""
    document = as_json(result(1 / 3, "lost"))

    assert document["measure"] == "fanout"
    assert document["figures"] == {
        "per_s": 0.3333, "p50_ms": 1.25, "p95_ms": 2, "p99_ms": 3, "missing": 0
    }  # fmt: skip
    assert document["problems"] == ["lost"]


@pytest.mark.parametrize(("busy", "said"), [(0.5, False), (0.95, True)])
def test_a_busy_generator_says_so(busy: float, *, said: bool) -> None:
    """Else its own limit is taken for the server's."""
    assert bool(busy_note(busy)) is said
