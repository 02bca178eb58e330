"""Checks of the keys that verify tokens, and of the clock of whoever signs these."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from itemwire.ops.doctor.clocks import compared, of_issuer
from itemwire.ops.doctor.findings import Finding, doubtful, good, wrong
from itemwire.ops.doctor.visit import Visit
from itemwire.runbook import EVENTS, EXIT_STATUSES
from itemwire.settings import Settings
from itemwire_auth import http_client as httpx
from itemwire_auth.building import key_sources
from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.jwks import JWKSKeys, fetch_all

DAY: Final = 86_400
DATE_SECONDS: Final = 5.0


async def check_keys(visit: Visit) -> AsyncIterator[Finding]:
    """Fetch or read the keys as a server does; what is left out is told by the log."""
    try:
        sources = key_sources(visit.settings)
    except (KeyProblem, ValueError) as error:
        yield wrong(str(error), EXIT_STATUSES["78"].remedy)
        return
    await fetch_all([source for source in sources.values() if isinstance(source, JWKSKeys)])
    for name, source in sources.items():
        yield _described(name, source)
    if visit.settings.keys_file is not None:
        days = (time.time() - visit.settings.keys_file.stat().st_mtime) / DAY
        yield good(f"ITEMWIRE_KEYS_FILE was changed {days:.0f} days ago")


def _described(name: str, source: KeySource) -> Finding:
    if not source.has_keys:
        return wrong(f"{name} has given no key", EVENTS["jwks_failed"])
    counted = Counter(source.algorithms)
    told = ", ".join(f"{count} of {algorithm}" for algorithm, count in sorted(counted.items()))
    return good(f"{name} has {told}")


async def check_issuer_clocks(visit: Visit) -> AsyncIterator[Finding]:
    """Compare with the clock of each server that publishes keys."""
    for url in _published_at(visit.settings):
        shown = str(httpx.URL(url).copy_with(query=None))
        try:
            theirs, ours = await _clock_of(url)
        except (httpx.HTTPError, OSError, ValueError, TypeError):
            yield doubtful(f"{shown} tells no time", "compare its clock by hand")
        else:
            yield compared(of_issuer(shown), theirs, ours, visit.settings.leeway)


def _published_at(settings: Settings) -> Iterator[str]:
    if settings.jwks_url is not None:
        yield settings.jwks_url
    if settings.issuers_file is not None:
        yield from _listed_urls(settings.issuers_file)


def _listed_urls(path: Path) -> list[str]:
    try:
        return [one["jwks_url"] for one in json.loads(path.read_text()) if one.get("jwks_url")]
    except (OSError, ValueError, TypeError, AttributeError):
        return []  # the check of the keys says what is wrong with it


async def _clock_of(url: str) -> tuple[float, float]:
    """Return the time of a server by its Date header, and ours in the middle of the request."""
    began = time.time()
    async with (
        httpx.AsyncClient(trust_env=False, timeout=DATE_SECONDS) as client,
        client.stream("GET", url, follow_redirects=False) as answer,
    ):
        ended = time.time()
        told = parsedate_to_datetime(answer.headers["Date"])
    return told.timestamp(), (began + ended) / 2
