"""Serves the operations page: static files without data, which anybody may fetch."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

from itemwire.routes.console import HEADERS, ConsoleFiles

PAGE: Final = Path(__file__).parents[2] / "web_operations"

router = APIRouter(include_in_schema=False)


@router.get("/ops")
async def operations_page() -> FileResponse:
    """Serve the page; what it shows, it asks for with the token that is typed in."""
    return FileResponse(PAGE / "index.html", headers=HEADERS)


router.mount("/ops", ConsoleFiles(directory=PAGE))
