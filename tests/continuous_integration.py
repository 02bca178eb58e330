"""Whether a test may be left out for want of something that this machine does not have."""

from __future__ import annotations

from collections.abc import Mapping


def is_continuous_integration(environment: Mapping[str, str]) -> bool:
    """Return whether this is a run of CI, where a test that is left out goes unnoticed."""
    return environment.get("CI", "").lower() not in {"", "0", "false"}
