"""A tiny comparison of engines on real servers; it checks counts, not times."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.comparison import load
from benchmarks.contenders import CONTENDERS, ENGINE_NAMES, STORES
from benchmarks.engines import main
from benchmarks.trial import ADDED, ALONE, TRIPS, WINDOWS, work_of
from itemwire.engines import ENGINES


def test_measures_one_node_and_two(tmp_path: Path) -> None:
    """All is delivered once; who cannot be run is named, and the others are measured."""
    out = tmp_path / "runs.json"
    arguments = ["--quick", "--only", "redis,broadcaster", "--out", str(out)]

    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == 0, done.output
    found = load(out)
    works = [work_of(way, nodes) for way in WINDOWS for nodes in (1, 2)]
    assert set(works) <= found.cells.keys(), done.output  # says which was not completed, and why
    fanned = [found.cells[work]["redis"] for work in works]
    assert [cell.problems for cell in fanned] == [[]] * 6
    assert [cell.median("missing") for cell in fanned] == [0] * 6
    assert all(cell.runs[0]["deliveries"] == 10 * cell.runs[0]["messages"] > 0 for cell in fanned)
    assert found.cells[TRIPS]["redis"].runs[0]["round_trips"] > 0
    assert found.cells[ADDED]["redis"].median("added_ms") is not None
    assert found.cells[work_of(ALONE, 32)]["redis"].runs[0]["per_s"] > 0
    assert list(found.absent) == ["broadcaster"]
    assert "broadcaster, redis is absent: needs an environment of its own" in done.stdout


def test_every_engine_is_compared() -> None:
    """Each module once, whatever the schemes of its URLs; its store can be started."""
    assert len(ENGINE_NAMES) == len(set(ENGINES.values()))
    assert {contender.store for contender in CONTENDERS.values()} <= set(STORES)


@pytest.mark.parametrize(
    "arguments", [["--only", "nobody"], ["--quick", "--write-docs"]], ids=" ".join
)
def test_what_cannot_be_compared_is_said(arguments: list[str]) -> None:
    """Before anything is started."""
    assert CliRunner().invoke(main, arguments).exit_code == 2
