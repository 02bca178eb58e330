"""A path parameter for ids and subjects, which may be any text."""

from typing import Final

from starlette.convertors import PathConvertor, register_url_convertor


class AnyText(PathConvertor):
    """A path parameter that matches any text, so that a wrong item id is refused as one.

    Starlette's own convertors do not match slashes or line breaks, and a path that no route
    matches gets HTTP 403, which a browser shows as 1006 without a reason.
    """

    regex = "(?s:.*)"


ANY_TEXT: Final = "any_text"

register_url_convertor(ANY_TEXT, AnyText())
