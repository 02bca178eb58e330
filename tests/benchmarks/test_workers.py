"""A tiny run of the comparison of workers; it checks that all is measured, not how fast it is."""

import pytest
from click.testing import CliRunner

from benchmarks.workers import main

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("only", "rows"),
    [("process", ["process, 1 in flight", "process, 32 in flight"]), ("memory x 2", ["echo x 50"])],
    ids=["engine", "server"],
)
def test_measures_what_is_asked_for(only: str, rows: list[str]) -> None:
    """With what each operation has cost."""
    done = CliRunner().invoke(main, ["--rounds", "1", "--seconds", "0.3", "--only", only])

    assert done.exit_code == 0, done.output
    assert [row for row in rows if row not in done.stdout] == []
    assert "per_s" in done.stdout
