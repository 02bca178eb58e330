"""Serves the console, a page to try a channel by hand."""

import os
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope
from typing_extensions import override

WEB: Final = Path(__file__).parent.parent / "web"

HEADERS: Final = {
    # Nothing inline and nothing from other sites: no part of a message can run as a script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


class ConsoleFiles(StaticFiles):
    """The files of a page, each with the headers above."""

    @override
    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


@router.get("/")
async def console() -> FileResponse:
    """Serve the page."""
    return FileResponse(WEB / "index.html", headers=HEADERS)


router.mount("/console", ConsoleFiles(directory=WEB))
