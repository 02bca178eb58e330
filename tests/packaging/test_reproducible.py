"""The wheel and the source distribution are the same bytes wherever and whenever they are built."""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.packaging.building import ROOT, run
from tests.packaging.test_sdist import own_files

LONG_AGO = 1_000_000_000  # 2001


class Place(NamedTuple):
    """A folder in which somebody builds, with what differs between builders."""

    name: str
    umask: int
    changed_at: int | None
    variables: dict[str, str]


PLACES = (
    Place("here", 0o022, None, {"TZ": "UTC", "LC_ALL": "C"}),
    Place(
        "elsewhere, and long ago", 0o077, LONG_AGO, {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8"}
    ),
)


def copied(place: Place, folder: Path) -> Path:
    """Copy the project's own files as a checkout with that umask at that time has them."""
    root = folder / place.name
    for name in sorted(own_files(), reverse=place.changed_at is not None):
        copy = root / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod(((ROOT / name).stat().st_mode | 0o666) & 0o777 & ~place.umask)
        if place.changed_at is not None:
            os.utime(copy, (place.changed_at, place.changed_at))
    return root


def hashes(root: Path, place: Place, **variables: str) -> dict[str, str]:
    """Build both in a folder, the wheel from the source distribution; return their SHA-256."""
    built = root.parent / "dist"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built)]
    run([*command, root], root.parent, **place.variables, **variables)
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in built.iterdir()}


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({}, id="as `.ci/release` builds"),
        pytest.param({"SOURCE_DATE_EPOCH": "1790000000"}, id="as distributions build"),
    ],
)
def test_two_builds_are_the_same_bytes(tmp_path: Path, variables: dict[str, str]) -> None:
    """Anyone can find out that what is published was built from what is shown."""
    one, other = (
        hashes(copied(place, tmp_path / str(number)), place, **variables)
        for number, place in enumerate(PLACES)
    )

    assert len(one) == 2
    assert one == other


def test_what_is_packed_decides_the_bytes(tmp_path: Path) -> None:
    """Hashes that nothing changes would show nothing."""
    roots = [copied(PLACES[0], tmp_path / name) for name in ("as it is", "changed")]
    with (roots[1] / "api" / "itemwire" / "messages.py").open("a") as source:
        source.write("# changed\n")
    as_it_is, changed = (hashes(root, PLACES[0]) for root in roots)

    assert set(as_it_is) == set(changed)
    assert not set(as_it_is.values()) & set(changed.values())
