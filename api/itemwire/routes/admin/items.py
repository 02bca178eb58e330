"""Reads the item that a route of the admin API names."""

from typing import Annotated, Final

from fastapi import Depends, HTTPException, Path

from itemwire.responses.problems import UNPROCESSABLE
from itemwire.routes.any_text import ANY_TEXT
from itemwire_auth.scopes import ITEM_ID_RULE, is_item_id

ITEM: Final = f"/channels/{{item:{ANY_TEXT}}}"


async def _named_item(item: Annotated[str, Path(description=ITEM_ID_RULE)]) -> str:
    """Return the item of the path; refuse what is the id of no item."""
    if not is_item_id(item):
        raise HTTPException(UNPROCESSABLE, ITEM_ID_RULE)
    return item


NamedItem = Annotated[str, Depends(_named_item)]
