"""What tests look at in a report."""

from __future__ import annotations

import asyncio

from itemwire.ops.doctor.doctor import Check
from itemwire.ops.doctor.findings import Finding, Level
from itemwire.ops.doctor.visit import Visit


def found(check: Check, visit: Visit) -> list[Finding]:
    """Carry out one check."""

    async def collect() -> list[Finding]:
        return [finding async for finding in check(visit)]

    return asyncio.run(collect())


def remedies(findings: list[Finding], level: Level = Level.FAULT) -> set[str]:
    """Return what there is to do about the findings of a level."""
    return {finding.remedy for finding in findings if finding.level == level}


def said(findings: list[Finding]) -> str:
    """Return all findings, a line for each."""
    return "\n".join(f"{one.level} {one.says}: {one.remedy}" for one in findings)
