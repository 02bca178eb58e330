"""Applications that know nothing of Itemwire, with sockets as their teams write them."""

import hashlib
from typing import Annotated, Final

import jwt
from fastapi import Cookie, Depends, FastAPI, Header, WebSocket, WebSocketException
from starlette.websockets import WebSocketDisconnect

from tests.embedding.shop.database import Login, User
from tests.embedding.shop.main import create_shop
from tests.embedding.shop.users import is_over

SECRET: Final = "a secret that only this application knows"


async def echo(websocket: WebSocket, name: str) -> None:
    """Greet a caller, and then repeat what it says."""
    await websocket.accept()
    await websocket.send_text(f"hello {name}")
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


# Tokens by PyJWT, as its documentation and FastAPI's have it: no iss, aud, typ.
tokens_app = FastAPI()


def by_token(token: str = "") -> str:
    """Return the subject of a token in the query."""
    try:
        return str(jwt.decode(token, SECRET, algorithms=["HS256"])["sub"])
    except (jwt.InvalidTokenError, KeyError):
        raise WebSocketException(1008) from None


@tokens_app.websocket("/rooms/{room}")
async def room(websocket: WebSocket, room: int, name: Annotated[str, Depends(by_token)]) -> None:
    """Talk to whoever has a token."""
    await echo(websocket, f"{name} in {room}")


# Opaque keys of programs, of which only hashes are kept.
keys_app = FastAPI()

KEY: Final = "sk_live_5fXr0aTnQb3ZkWm1"
HASHES: Final = {hashlib.sha256(KEY.encode()).hexdigest(): "carol"}


def by_key(x_api_key: Annotated[str, Header()] = "") -> str:
    """Return whose key it is."""
    owner = HASHES.get(hashlib.sha256(x_api_key.encode()).hexdigest())
    if owner is None:
        raise WebSocketException(1008)
    return owner


@keys_app.websocket("/feed")
async def feed(websocket: WebSocket, owner: Annotated[str, Depends(by_key)]) -> None:
    """Talk to whoever has a key."""
    await echo(websocket, owner)


async def by_login(
    websocket: WebSocket,
    shop_login: Annotated[str, Cookie()] = "",
    authorization: Annotated[str, Header()] = "",
) -> User:
    """Return the user of a login in the database, by cookie or by bearer token."""
    token = authorization.removeprefix("Bearer ") or shop_login
    async with websocket.app.state.sessions() as session:
        login = await session.get(Login, token)
        found = await session.get(User, login.user_id) if login and not is_over(login) else None
    if not isinstance(found, User):
        raise WebSocketException(1008)
    return found


def own_pages_only(websocket: WebSocket, origin: Annotated[str, Header()] = "") -> None:
    """Refuse pages of other origins, which most teams forget."""
    if origin and origin != f"http://{websocket.headers.get('host')}":
        raise WebSocketException(1008)


def logins_app(database: str) -> FastAPI:
    """Make the shop, logins by cookie and bearer as fastapi-users has them, with two sockets."""
    app = create_shop(database)

    @app.websocket("/news")
    async def news(websocket: WebSocket, user: Annotated[User, Depends(by_login)]) -> None:
        await echo(websocket, user.name)

    @app.websocket("/own-news", dependencies=[Depends(own_pages_only)])
    async def own_news(websocket: WebSocket, user: Annotated[User, Depends(by_login)]) -> None:
        await echo(websocket, user.name)

    return app
