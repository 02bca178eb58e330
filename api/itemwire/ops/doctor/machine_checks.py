"""Checks of the settings and of this machine: descriptors, and who may read which file."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from pydantic import SecretStr

from itemwire.channels.limits.connections import max_sockets
from itemwire.ops.doctor.findings import Finding, doubtful, good, wrong
from itemwire.ops.doctor.visit import Visit
from itemwire.rules.channels import ChannelRules
from itemwire.rules.file import add_channels_of
from itemwire.runbook import EXIT_STATUSES
from itemwire.settings import ENV_FILE, PREFIX
from itemwire.startup_checks import CHECKS, Launch
from itemwire.variables import remarks, source_of

UNFIT: Final = EXIT_STATUSES["78"].remedy
FEW_SOCKETS: Final = 4000
BACKLOG: Final = 4096
SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")
KEY_OPTIONS: Final = ("ssl_keyfile", "sslkey", "credentials", "nkey")
"""Options of engines' URLs that name files with secrets."""

SECRET_MEMBERS: Final = frozenset({"d", "k"})  # of a JWK


async def check_settings(visit: Visit) -> AsyncIterator[Finding]:
    """Look at the settings as a server does at its start."""
    settings = visit.settings
    for remark in remarks():
        yield doubtful(remark, "write the variable as it says")
    for check in CHECKS.values():
        if check.finds(Launch(settings, ["itemwire"], os.environ)):
            found = wrong if check.refuses else doubtful
            yield found(check.fault, check.remedy)
    if settings.channels_file is not None:
        try:
            add_channels_of(settings.channels_file, ChannelRules(), settings.max_message_bytes)
        except ValueError as error:
            yield wrong(f"{PREFIX}CHANNELS_FILE: {error}", UNFIT)
    yield good(f"all can be read; set are {len(settings.model_fields_set)}")


async def check_descriptors(visit: Visit) -> AsyncIterator[Finding]:
    """Compare the limit of open files with the sockets that may be open."""
    room, wanted = max_sockets(), visit.settings.max_connections
    told = f"the limit of open files here has room for {room or 'any number of'} sockets"
    remedy = "raise it for the server (systemd: LimitNOFILE; a shell: ulimit -n)"
    if wanted is not None and 0 < room < (wanted or sys.maxsize):
        named = f"{PREFIX}MAX_CONNECTIONS is {wanted or 'without a limit'}"
        yield wrong(f"{told}, and {named}", remedy)
    elif 0 < room < FEW_SOCKETS:
        yield doubtful(told, remedy)
    else:
        yield good(told)
    if SOMAXCONN.is_file() and (queue := int(SOMAXCONN.read_text())) < BACKLOG:
        told = f"{queue} clients may wait to be accepted, and {BACKLOG} are asked for"
        yield doubtful(told, f"sysctl net.core.somaxconn={BACKLOG}")


async def check_files(visit: Visit) -> AsyncIterator[Finding]:
    """Look at who may read the files with secrets, and write those that decide who comes in."""
    paths = dict(_files(visit))
    faults = [finding for path, secret in paths.items() if (finding := _judged(path, secret))]
    for finding in faults:
        yield finding
    if paths and not faults:
        yield good(f"{len(paths)} can be read by those alone who may")


def _files(visit: Visit) -> Iterator[tuple[Path, bool]]:
    """Yield each file that the settings name, and whether it holds a secret."""
    settings = visit.settings
    env_file = Path(ENV_FILE)
    if env_file.is_file():
        yield env_file, any(source_of(name) == ENV_FILE for name in _secret_settings(visit))
    if settings.keys_file is not None:
        yield settings.keys_file, _has_secret_key(settings.keys_file)
    if settings.issuers_file is not None:
        yield settings.issuers_file, False
    for name, value in parse_qsl(settings.engine_url.partition("?")[2]):
        if name in KEY_OPTIONS:
            yield Path(value), True


def _secret_settings(visit: Visit) -> Iterator[str]:
    for name, value in visit.settings:
        if isinstance(value, SecretStr):
            yield name
    if "@" in visit.settings.engine_url:
        yield "engine_url"


def _has_secret_key(path: Path) -> bool:
    try:
        keys = json.loads(path.read_text())["keys"]
        return any(SECRET_MEMBERS & key.keys() for key in keys)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True  # the check of the keys says what is wrong with it


def _judged(path: Path, is_secret: bool) -> Finding | None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return wrong(f"{path}: {error.strerror}", "correct the setting, or the right to the folder")
    if mode & stat.S_IWOTH:
        return wrong(f"everybody on this machine may write {path}", f"chmod o-w {path}")
    if is_secret and mode & stat.S_IROTH:
        return wrong(f"everybody on this machine may read {path}", f"chmod o-r {path}")
    return None
