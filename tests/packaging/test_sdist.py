"""The source distribution: its tests run where it is unpacked."""

import os
import subprocess
import sys
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, build, run

REPRESENTATIVE = (
    "tests/test_project.py",
    "tests/test_settings.py",
    "tests/auth/keys/test_files.py",
    "tests/benchmarks/test_peers.py",
    "tests/channels/lifecycle",
    "tests/docs/test_metrics.py",
    "tests/docs/test_protocol.py",
    "tests/docs/test_requirements.py",
    "tests/docs/test_security.py",
    "tests/scenarios/test_echo.py",
)
"""Tests that read every kind of file outside of the packages, and a few of each other kind."""


def own_files() -> set[str]:
    """List the files of the project: those in git, or all where there is no git, but no caches."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        names = set(listed.stdout.rstrip("\0").split("\0"))
        return {name for name in names if (ROOT / name).exists()}  # one may be deleted just now
    caches = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    paths = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return {
        path.as_posix()
        for path in paths
        if not any(fnmatch(part, cache) for part in path.parts for cache in caches)
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution."""
    return build("sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def test_its_tests_run_where_it_is_unpacked(unpacked: Path) -> None:
    """Anyone who packages it for a distribution has nothing else."""
    path = os.pathsep.join(str(unpacked / folder) for folder in ("api", "auth"))
    options = ("-q", "-n0", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *REPRESENTATIVE]
    where = "import itemwire, itemwire_auth; print(itemwire.__file__, itemwire_auth.__file__)"
    imported = run([sys.executable, "-c", where], unpacked, PYTHONPATH=path)
    printed = run(command, unpacked, PYTHONPATH=path)

    assert all(Path(file).is_relative_to(unpacked) for file in imported.split())
    assert "passed" in printed
    assert "failed" not in printed


def test_has_every_file_of_the_project(archive: Path) -> None:
    """The tests above are a few of many, and what none of them reads may be missing."""
    with tarfile.open(archive) as tar:
        shipped = {member.name.partition("/")[2] for member in tar if member.isfile()}

    assert len(shipped) > len(REPRESENTATIVE)
    assert own_files() - shipped == set()


def test_has_what_a_newcomer_needs(unpacked: Path) -> None:
    """The checks, the pins, the example of the settings and the licence."""
    needed = {
        ".ci/run",
        ".env.example",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "constraints.txt",
    } | {".ci/versions", "constraints/oldest.txt"}

    assert {name for name in needed if not (unpacked / name).is_file()} == set()
