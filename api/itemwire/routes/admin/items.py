"""Reads the item that a route of the admin API names."""

from typing import Annotated, Final

from fastapi import Depends, HTTPException, Path
from starlette.convertors import register_url_convertor

from itemwire.responses.problems import UNPROCESSABLE
from itemwire.routes.any_text import ANY_TEXT, AnyText
from itemwire_auth.scopes import ITEM_ID_RULE, is_item_id

ITEM: Final = f"/channels/{{item:{ANY_TEXT}}}"
"""What the paths of an item begin with."""

_ITEM_ALONE: Final = "item_alone"

ITEM_ALONE: Final = f"/channels/{{item:{_ITEM_ALONE}}}"
"""The path of an item itself."""


class ItemAlone(AnyText):
    """Any text but that of the paths below an item, which say themselves what they take."""

    regex = r"(?s:(?!.*/(?:history|messages)\Z).*)"


register_url_convertor(_ITEM_ALONE, ItemAlone())


async def _named_item(item: Annotated[str, Path(description=ITEM_ID_RULE)]) -> str:
    """Return the item of the path; refuse what is the id of no item."""
    if not is_item_id(item):
        raise HTTPException(UNPROCESSABLE, ITEM_ID_RULE)
    return item


NamedItem = Annotated[str, Depends(_named_item)]
