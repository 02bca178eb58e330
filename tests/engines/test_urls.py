"""What of an engine's URL ends in logs."""

import pytest

from itemwire.engines.urls import hide_password


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
