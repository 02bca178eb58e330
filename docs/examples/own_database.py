"""Rights from the application's own database instead of from the token.

Run it with `uvicorn --factory docs.examples.own_database:create_shop`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

from fastapi import Depends, FastAPI

from itemwire import create_app
from itemwire_auth import Action, CurrentPrincipal, Forbidden, Grant, authorize_item

RIGHTS = {
    "customer": frozenset({Action.SUBSCRIBE, Action.HISTORY}),
    "seller": frozenset(Action),
}


def shop_database() -> Iterator[sqlite3.Connection]:
    """Open the database for one decision; it is closed before the socket starts waiting."""
    with closing(sqlite3.connect("shop.db", check_same_thread=False)) as database:
        yield database


def order_grant(
    item_id: str,
    principal: CurrentPrincipal,
    database: Annotated[sqlite3.Connection, Depends(shop_database)],
) -> Grant:
    """Let an order's customer watch it and its seller write to it."""
    query = "SELECT role FROM parties WHERE order_id = ? AND person = ?"
    row = database.execute(query, (item_id, principal.subject)).fetchone()
    if row is None:
        raise Forbidden(f"{principal.subject} is no party of {item_id}")
    return Grant(principal, item_id, RIGHTS[row[0]])


def create_shop() -> FastAPI:
    """Make Itemwire's application with this rule in it."""
    app = create_app()
    app.dependency_overrides[authorize_item] = order_grant
    return app
