"""Charges an operator for a question that all nodes answer."""

from typing import Annotated

from fastapi import Depends, Request

from itemwire.channels.limits.requests import RequestKind
from itemwire.dependencies import spend
from itemwire_auth.dependencies import Administrator
from itemwire_auth.principal import Principal


async def _asking_administrator(request: Request, admin: Administrator) -> Principal:
    """Return the administrator, or refuse one that asks more often than it may."""
    spend(request, admin, RequestKind.OTHER, 0)
    return admin


AskingAdministrator = Annotated[Principal, Depends(_asking_administrator)]
