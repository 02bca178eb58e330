"""Tells who started the server that it serves, or that it stops (`sd_notify` of systemd)."""

import logging
import os
import socket
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"

logger = logging.getLogger("itemwire.server")


def notify(state: str) -> None:
    """Send a state to the socket that NOTIFY_SOCKET names; nothing where it is not set.

    A socket that is not there does not keep the server from serving.
    """
    path = os.environ.get(VARIABLE, "")
    if not path:
        return
    # A name that begins with @ is in the abstract namespace of Linux, and no file.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto(state.encode(), address)
    except (OSError, ValueError) as error:
        logger.warning("notify_failed state=%s socket=%r problem=%s", state, path, error)
