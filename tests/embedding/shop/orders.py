"""The shop's orders."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from tests.embedding.shop.database import Order, SessionDep
from tests.embedding.shop.errors import ShopError
from tests.embedding.shop.users import CurrentUser

router = APIRouter(prefix="/orders", tags=["orders"])


class OrderView(BaseModel):
    """An order as its buyer and seller see it."""

    id: int
    status: str


class Change(BaseModel):
    """What a seller may change."""

    status: str = Field(max_length=20)


@router.get("/{number}")
async def show(number: int, user: CurrentUser, session: SessionDep) -> OrderView:
    """Show an order to its parties."""
    order = await session.get(Order, number)
    if order is None or user.id not in {order.buyer_id, order.seller_id}:
        raise ShopError("no_such_order")
    return OrderView(id=order.id, status=order.status)


@router.post("/{number}")
async def change(number: int, change: Change, user: CurrentUser, session: SessionDep) -> OrderView:
    """Change the state of an order."""
    order = await session.get(Order, number)
    if order is None or user.id != order.seller_id:
        raise ShopError("no_such_order")
    order.status = change.status
    await session.commit()
    return OrderView(id=order.id, status=order.status)


@router.get("/{number}/crash")
async def crash(number: int) -> None:
    """Fail as a fault in the shop's code does."""
    raise ZeroDivisionError(f"order {number}")
