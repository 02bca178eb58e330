"""A tiny comparison, with the two peers that need no further packages."""

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.compare import compare, main
from benchmarks.running import Absent, pinned, running
from benchmarks.tokens import subject_of, tokens_for
from benchmarks.works import WORKS

SECRET = "a secret that only these servers know, 48 bytes.."


def test_compares_the_two_that_are_always_there(tmp_path: Path) -> None:
    """Real servers are started, measured, stopped."""
    out = tmp_path / "runs.json"

    done = CliRunner().invoke(
        main,
        [
            "--quick",
            "--peers",
            "itemwire,tutorial003",
            "--only",
            "fanout-1,connect",
            "--out",
            str(out),
        ],
    )

    assert done.exit_code == 0, done.output
    cells = json.loads(out.read_text())["cells"]
    fanout = [cells["fanout-1"][peer]["runs"][0] for peer in ("itemwire", "tutorial003")]
    assert [run["missing"] + run["repeated"] for run in fanout] == [0, 0]
    assert all(run["deliveries"] > 0 for run in fanout)
    assert set(cells["connect"]) == {"itemwire", "tutorial003"}
    assert "1.00 x" in done.stdout


def test_a_peer_that_does_not_start_is_absent() -> None:
    """And the others are compared all the same."""
    with pytest.raises(Absent, match="No module named"), running("nobody", SECRET, None):
        pass

    comparison = compare(
        ["nobody"], {"echo": replace(WORKS["echo"], peers=frozenset({"nobody"}))}, repeat=2
    )

    assert list(comparison.absent) == ["nobody"]
    assert comparison.cells == {}


def test_where_all_are_needed_an_absent_one_ends_the_run() -> None:
    """A page would lack its column."""
    work = replace(WORKS["echo"], peers=frozenset({"nobody"}))
    with pytest.raises(click.ClickException, match="nobody"):
        compare(["nobody"], {"echo": work}, repeat=2, needs_all=True)


@pytest.mark.parametrize(
    "arguments",
    [["--peers", "nobody"], ["--only", "nothing"], ["--quick", "--write-docs"]],
    ids=" ".join,
)
def test_what_cannot_be_compared_is_said(arguments: list[str]) -> None:
    """Before anything is started."""
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_server_and_load_have_a_core_each() -> None:
    """Where there are two; and what was before is put back."""
    with pinned() as core, running("tutorial003", SECRET, core) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()

    if core is not None:
        assert f"Cpus_allowed_list:\t{core}\n" in status


def test_all_peers_check_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that let everyone in would be faster."""
    monkeypatch.setenv("ITEMWIRE_SECRET", SECRET)
    first, *others = tokens_for(SECRET)

    assert (subject_of(first), len(set(others))) == ("bench-0", 99)
    assert (subject_of(first + "x"), subject_of(None)) == (None, None)
