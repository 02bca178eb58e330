"""A shop with users and orders of its own, and live channels in it: what docs/tutorial.md builds.

Run it with `uvicorn docs.examples.shop:app`.
"""

from pathlib import Path
from typing import Annotated, Literal

from fastapi import Cookie, Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from itemwire import Itemwire, Rights

SESSIONS = {"c1": "carol", "s1": "sam", "m1": "mallory"}  # your table of sessions


def current_user(session: Annotated[str, Cookie()] = "") -> dict[str, str]:
    """Find the user by the cookie of the session, as for any route."""
    if session not in SESSIONS:
        raise HTTPException(401)
    return {"id": SESSIONS[session]}


live = Itemwire(user=current_user)
app = FastAPI()
app.include_router(live.router, prefix="/live")

ORDERS = {7: {"customer": "carol", "seller": "sam"}}  # your table of orders
CurrentUser = Annotated[dict[str, str], Depends(current_user)]


class OrderEvent(BaseModel):
    """What happens to an order."""

    status: Literal["packed", "shipped"]


@live.channel("order:{number}", model=OrderEvent, history=50)
def order(number: int, user: CurrentUser) -> Rights:
    """Let the customer and the seller listen, and the seller publish."""
    parties = ORDERS.get(number, {})
    if user["id"] not in parties.values():
        raise HTTPException(403)
    return Rights("subscribe", "history", publish=user["id"] == parties["seller"])


@app.post("/orders/{number}/ship")
async def ship(number: int, user: CurrentUser) -> int:
    """Tell everybody who listens, once, and return the offset of the message."""
    if "publish" not in order(number, user).can:
        raise HTTPException(403)
    once = f"ship-{number}"
    shipped = await order.publish({"status": "shipped"}, number=number, idempotency_key=once)
    return shipped.offset


@app.get("/")
def page() -> FileResponse:
    """Serve the page that listens."""
    return FileResponse(Path(__file__).with_name("shop.html"))


RATINGS: list[int] = []  # your table of ratings


class Rating(BaseModel):
    """What a customer thinks of an order."""

    stars: int = Field(ge=1, le=5)


@order.message("rate")
def rate(rating: Rating, number: int, user: CurrentUser) -> float:
    """Note a rating, and return the average of all."""
    if user["id"] != ORDERS[number]["customer"]:
        raise HTTPException(403, "Only the customer rates an order.")
    RATINGS.append(rating.stars)
    return sum(RATINGS) / len(RATINGS)
