"""Looks at the place of a SQLite file: a server that runs has the file for itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import Final

from itemwire.engines.report import Concern, EngineReport
from itemwire.engines.sqlite.file import SqliteFile

LEAST_BYTES: Final = 256 * 1_048_576  # that should be free

ROOM: Final = Concern("its disk has less than 256 MB left", "make room on it")


async def examine(url: str) -> EngineReport:
    """Return what there is to know of a file without opening it; ValueError if it has no path."""
    path = SqliteFile.of(url).path
    folder = path.parent
    concerns: list[Concern] = []
    if not folder.is_dir():
        concerns.append(Concern(f"there is no folder {folder}", "make it", is_fault=True))
    elif not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        told = f"this user may not write {path} and beside it"
        remedy = "give the folder and the file to the server's user"
        concerns.append(Concern(told, remedy, is_fault=True))
    elif shutil.disk_usage(folder).free < LEAST_BYTES:
        concerns.append(ROOM)
    return EngineReport(f"SQLite {sqlite3.sqlite_version}", None, tuple(concerns))
