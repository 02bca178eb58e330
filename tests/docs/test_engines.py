"""docs/engines.md against the tests: each fault of each engine has a row, and a test for it."""

from __future__ import annotations

import re
from typing import Final

from tests.docs.test_requirements import NAMED, ROOT, names_in
from tests.stress.engines import ENGINE_SERVERS
from tests.stress.failover import FAULTS_OF

TEXT: Final = (ROOT / "docs" / "engines.md").read_text()
FAULTS_TEXT: Final = TEXT.partition("\n## Faults\n")[2].partition("\n## ")[0]
TABLE: Final = re.compile(r"^\| engine \|.*\n\| -.*\n((?:\|.*\n)+)", re.MULTILINE)
ROWS: Final = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for table in TABLE.findall(FAULTS_TEXT)
    for line in table.splitlines()
]
UNSEEN: Final = 1
"""Faults that no test makes: each says so in its row."""


def test_every_row_names_a_test_that_is_there() -> None:
    """What is said of a fault was seen."""
    assert len(ROWS) > 10
    assert [row for row in ROWS if len(row) != 8] == []
    unseen = [row for row in ROWS if not NAMED.search(row[-1])]
    assert [row[-1].split(":")[0].strip() for row in unseen] == ["none"] * UNSEEN
    assert [one for one in NAMED.findall(FAULTS_TEXT) if one[1] not in names_in(one[0])] == []


def test_every_fault_of_the_stress_runs_is_in_the_table() -> None:
    """By its name there, so that a row can be run again."""
    named = set(re.findall(r"`([\w-]+)`", " ".join(row[1] for row in ROWS)))

    possible = {name for faults in FAULTS_OF.values() for name in faults}
    assert possible - {"slow", "node-killed"} <= named
    assert len(ENGINE_SERVERS) == 4
