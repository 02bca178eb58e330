"""Tokens in the shape in which the libraries of applications really issue them."""

from __future__ import annotations

from typing import Final

from tests.auth.conftest import NOW
from tests.auth.token_shape import Shape, dates

LIBRARIES: Final[dict[str, Shape]] = {
    "fastapi-users": Shape(
        {
            "sub": "9a4bcd6e-7c2e-4d21-9f60-7e4b9d6d6a01",
            "aud": ["fastapi-users:auth"],
            "exp": NOW + 3_600,
        },
        algorithm="HS256",
        kid=None,
        twins={
            "its token for a new password": (
                {"aud": "fastapi-users:reset", "password_fgpt": "x"},
                "audience",
            )
        },
    ),
    "Django REST framework simplejwt": Shape(
        {
            "token_type": "access",
            **dates(300, jti="f6b1a3c1d2e34f5a8b9c0d1e2f3a4b5c"),
            "user_id": 7,
        },
        algorithm="HS256",
        kid=None,
        subject="user_id",
        twins={"its refresh token": ({"token_type": "refresh"}, "rights")},
    ),
    "Flask-JWT-Extended": Shape(
        {
            "fresh": False,
            **dates(900, nbf=NOW, jti="b3b1f4f2-0c1a-4a41-9a55-5c7d2c9d0f11"),
            "type": "access",
            "sub": "ada",
            "csrf": "0f6a1a52-7b44-4b0e-8b61-3c1d6a1b2c3d",
        },
        algorithm="HS256",
        kid=None,
        twins={"its refresh token": ({"type": "refresh"}, "rights")},
    ),
    "PyJWT": Shape(
        {"sub": "ada", "exp": NOW + 300.25},
        algorithm="HS256",
        kid=None,
        twins={"a fraction past": ({"exp": NOW - 0.25}, "expiry")},
    ),
    "jsonwebtoken, python-jose": Shape(
        {"sub": 42, "username": "ada", "items": [{"id": 1}], **dates(3_600)},
        algorithm="HS256",
        kid=None,
        twins={"no number": ({"sub": 4.2}, "subject")},
    ),
}
