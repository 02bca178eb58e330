"""The shop's tables, and one session for each request."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The shop's tables."""


class User(Base):
    """Somebody who buys or sells."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Login(Base):
    """An opaque token, of a browser or of a program, good until it is deleted or expires."""

    __tablename__ = "logins"

    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[datetime | None]


class Order(Base):
    """What somebody bought of somebody."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    buyer_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    seller_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    status: Mapped[str]


async def fill(engine: AsyncEngine) -> None:
    """Create the tables, with two users and one order between them."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_sessionmaker(engine)() as session:
        if await session.get(User, 1) is None:
            session.add_all([User(id=1, name="Ann"), User(id=2, name="Ben")])
            session.add_all(
                [
                    Login(token="anns-login", user_id=1),
                    Login(token="bens-login", user_id=2),
                    Login(token="old-login", user_id=2, expires_at=datetime(2020, 1, 1)),  # noqa: DTZ001 - SQLite stores no zone
                ]
            )
            session.add(Order(id=7, buyer_id=2, seller_id=1, status="new"))
            await session.commit()


async def database_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """Open a session for one request, and close it after the request."""
    async with request.app.state.sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(database_session)]
