"""The peers: each has a file and a row, and their packages are pinned."""

import re
import tomllib
from pathlib import Path

from packaging.utils import canonicalize_name

import benchmarks.peers
from benchmarks.peers import BASELINE, OVER_REDIS, PEERS, VARIANTS

ROOT = Path(__file__).parents[2]
SHARED = {"__init__", "serving"}


def test_every_peer_has_a_file_and_a_row() -> None:
    """One that is not in the table is never compared."""
    files = {path.stem for path in Path(benchmarks.peers.__file__).parent.glob("*.py")}

    assert files - SHARED == set(PEERS | OVER_REDIS | VARIANTS)
    assert BASELINE in PEERS


def test_what_the_peers_over_redis_need_is_pinned() -> None:
    """In an environment of their own: an older redis-py than the engine's."""
    pins = (ROOT / "benchmarks/peers/over_redis.txt").read_text().splitlines()
    versions = dict(pin.lower().split("==") for pin in pins if not pin.startswith("#"))

    assert {"broadcaster", "channels_redis", "python-socketio"} <= set(versions)
    assert versions["redis"].startswith("7.1.")


def test_what_the_peers_need_is_pinned() -> None:
    """Figures are those of a version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(pin.partition("==")[0]) for pin in pins}

    needed = project["optional-dependencies"]["benchmarks"]

    names = {canonicalize_name(re.split(r"[<>=]", text)[0]) for text in needed}
    assert names - pinned == set()
