"""Logins by cookie, for browsers, or by bearer token, as fastapi-users has them."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.security import APIKeyCookie, OAuth2PasswordBearer
from pydantic import BaseModel

from tests.embedding.shop.database import Login, SessionDep, User

bearer = OAuth2PasswordBearer("users/login", auto_error=False)
cookie = APIKeyCookie(name="shop_login", auto_error=False)

router = APIRouter(prefix="/users", tags=["users"])


async def current_user(
    session: SessionDep,
    by_bearer: Annotated[str | None, Depends(bearer)],
    by_cookie: Annotated[str | None, Depends(cookie)],
) -> User:
    """Return the user whose login the request presents, or refuse it."""
    login = await session.get(Login, by_bearer or by_cookie or "")
    if login is None or is_over(login):
        raise HTTPException(401, "log in first", {"WWW-Authenticate": "Bearer"})
    user = await session.get(User, login.user_id)
    if user is None:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def is_over(login: Login) -> bool:
    """Return whether a login has expired."""
    return login.expires_at is not None and login.expires_at.replace(tzinfo=UTC) <= datetime.now(
        UTC
    )


class Profile(BaseModel):
    """What others see of a user."""

    id: int
    name: str


@router.get("/me")
async def me(user: CurrentUser) -> Profile:
    """Tell who is calling."""
    return Profile(id=user.id, name=user.name)


@router.post("/login")
async def log_in(token: str, response: Response) -> dict[str, str]:
    """Put a login into the browser's cookie."""
    response.set_cookie("shop_login", token, httponly=True, samesite="lax")
    return {"status": "ok"}
