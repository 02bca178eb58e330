"""Serves the JavaScript client: the very file that the npm package has."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

from itemwire.routes.console import WEB

NAME: Final = "itemwire.js"
_CHECKOUT: Final = Path(__file__).parents[3] / "clients" / "js"

FOLDER: Final = WEB if (WEB / NAME).is_file() else _CHECKOUT
"""Where the file lies: a wheel has it beside the console, and a checkout where it is written."""

HEADERS: Final = {
    # Pages of every origin load it as a module, which takes this; it holds no secret.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)

_files: Final = StaticFiles(directory=FOLDER, check_dir=False)


@router.get(f"/{NAME}")
async def javascript_client(request: Request) -> Response:
    """Serve the file, or say that the browser's copy is still the same."""
    response = await _files.get_response(NAME, request.scope)
    response.headers.update(HEADERS)
    return response
