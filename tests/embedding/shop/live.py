"""The channels of the shop: all that a team adds to have them."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from itemwire import Itemwire, Rights
from itemwire.settings import Settings
from tests.embedding.shop.database import Order, SessionDep
from tests.embedding.shop.users import CurrentUser, current_user


def make_live(settings: Settings, operator: Callable[..., Any] | None = None) -> Itemwire:
    """Make the channels, one for each order."""
    live = Itemwire(user=current_user, operator=operator, settings=settings)

    @live.channel("order:{number}")
    async def order(
        number: int, user: CurrentUser, session: SessionDep, request: Request
    ) -> Rights:
        assert isinstance(request.app, FastAPI)
        assert request.app.title == "Shop"
        row = await session.get(Order, number)
        if row is None or user.id not in {row.buyer_id, row.seller_id}:
            raise HTTPException(404)
        return Rights("subscribe", "history", publish=user.id == row.seller_id)

    return live
