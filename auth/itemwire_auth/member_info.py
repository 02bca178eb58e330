"""Writes what others may know of a member of a channel: its name, its avatar, and so on."""

import json
from collections.abc import Mapping
from typing import Final

INFO_BYTES: Final = 1024
"""The most that others are told of one member, as JSON text."""


def written_info(info: Mapping[str, object]) -> bytes:
    """Return what others may know of a member as its JSON text.

    Raises TypeError for what has no JSON form, and ValueError for more than `INFO_BYTES`.
    """
    text = json.dumps(dict(info), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    written = text.encode()
    if len(written) > INFO_BYTES:
        raise ValueError(f"the info of a member has {len(written)} bytes, past {INFO_BYTES}")
    return written
