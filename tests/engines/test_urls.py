"""What of an engine's URL ends in logs."""

from pathlib import Path

import pytest

from itemwire.engines import open_engine
from itemwire.engines.urls import hide_password
from tests.fakes import BOUNDS


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://h", "postgresql://h"),
        ("postgresql://u:hunter2@h:1/d?sslpassword=hunter2", "postgresql://***@h:1/d"),
        ("postgresql://u@h,i:2/d", "postgresql://***@h,i:2/d"),
        ("postgresql:///d?host=/run&password=hunter2", "postgresql:///d"),
        ("postgresql://u:hunter2/odd@h/d", "postgresql://***"),
        ("postgresql://u:hunter2?odd@h/d", "postgresql://***"),
        ("postgresql://h/d?password=hunter2@odd", "postgresql://***"),
        ("redis://:hunter2@h", "redis://***@h"),
        ("redis+cluster://u:hunter2@[::1]:1", "redis+cluster://***@[::1]:1"),
    ],
)
def test_shows_a_url_without_its_password(url: str, shown: str) -> None:
    """Where it is not clear what the password is, nothing is shown."""
    assert hide_password(url) == shown


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("rediss://h", "ssl_ca_certs"),
        ("valkeys://h", "ssl_certfile"),
        ("rediss://h", "ssl_keyfile"),
        ("postgresql://h/d", "sslrootcert"),
        ("postgres://h/d", "sslcert"),
        ("postgresql://h/d", "sslkey"),
    ],
)
def test_a_file_that_is_not_there_is_a_wrong_url(url: str, option: str, tmp_path: Path) -> None:
    """The library says it when it connects, as of a server that may come back."""
    there, absent = tmp_path / "there.pem", tmp_path / "absent.pem"
    there.touch()

    with pytest.raises(ValueError, match=f"{option} names no file"):
        open_engine(f"{url}?{option}={absent}", BOUNDS)
    open_engine(f"{url}?{option}={there}", BOUNDS)
