"""Errors in the form that the shop's own clients know."""

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse


class ShopError(Exception):
    """What a caller did wrong."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def install(app: FastAPI) -> None:
    """Answer errors of the shop in its own form."""

    @app.exception_handler(ShopError)
    async def explain(_request: Request, error: ShopError) -> JSONResponse:
        return JSONResponse({"shop_error": error.code}, 409)
