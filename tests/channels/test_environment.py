"""Ids of connections, which are drawn many at a time."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from itemwire.channels.environment import DRAWN_AT_ONCE, new_connection_id


def test_ids_are_as_long_as_before_and_all_different() -> None:
    """Nine random bytes each, whichever thread asks."""
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: new_connection_id(), range(DRAWN_AT_ONCE * 50)))

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[\w-]{12}", one) for one in ids)


@pytest.mark.server
def test_a_forked_process_gives_out_none_of_its_parents_ids() -> None:
    """Gunicorn forks its workers after the application was loaded."""
    new_connection_id()  # many are drawn now
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ids = [new_connection_id() for _ in range(DRAWN_AT_ONCE)]
            os.write(writer, " ".join(ids).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        theirs = pipe.read().decode().split()
    os.waitpid(child, 0)

    ours = [new_connection_id() for _ in range(DRAWN_AT_ONCE)]
    assert len(theirs) == DRAWN_AT_ONCE
    assert not set(ours) & set(theirs)


@pytest.mark.server
def test_it_is_loaded_where_no_process_forks() -> None:
    """Windows has no fork: a server or a publisher there could not even be imported."""
    code = "import os; del os.fork, os.register_at_fork; import itemwire.app, itemwire.publisher"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
