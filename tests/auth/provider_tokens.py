"""Tokens in the shape in which identity providers really issue them."""

from __future__ import annotations

from typing import Final

from tests.auth.conftest import NOW
from tests.auth.library_tokens import LIBRARIES
from tests.auth.token_shape import ABSENT, NOTHING, Shape, dates

COGNITO = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E"
ENTRA = "https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"
ENTRA_HEADER = {"typ": "JWT", "x5t": "i6lGk3FZzxRcUb2C3nEQ7syHJlY"}
SUPABASE: Final[dict[str, object]] = {
    "aal": "aal1",
    "amr": [{"method": "password", "timestamp": NOW}],
    "app_metadata": {"provider": "email", "providers": ["email"]},
    "aud": "authenticated",
    "email": "ada@shop.example",
    "is_anonymous": False,
    "iss": "https://abcdefghijklmnop.supabase.co/auth/v1",
    "phone": "",
    "role": "authenticated",
    "session_id": "8f7a1c2e-5b1d-4b59-9f2c-3c6f1f1c9a11",
    "sub": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "user_metadata": {"items": "*"},  # the user writes this: it must grant nothing
    **dates(3600),
}
ANON_KEY = (
    dict.fromkeys(SUPABASE, ABSENT) | dates(600, iss="supabase", role="anon", ref="abcdef"),
    "subject",
)

PROVIDERS: Final[dict[str, Shape]] = {
    "Auth0": Shape(
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "auth0|507f1f77bcf86cd799439011",
            "aud": ["https://api.shop.example", "https://shop.eu.auth0.com/userinfo"],
            **dates(86_400),
            "scope": "openid profile email",
            "azp": "my_client_id",
            "permissions": ["items:subscribe", "items:publish", "read:orders"],
        },
        twins={"no permissions": ({"permissions": ["read:orders"]}, "rights")},
    ),
    "Auth0, with roles from an action": Shape(
        {
            "https://shop.example/roles": ["editor"],
            "iss": "https://shop.eu.auth0.com/",
            "sub": "google-oauth2|103547991597142817347",
            "aud": "https://api.shop.example",
            **dates(86_400),
            "azp": "my_client_id",
        },
        header={"typ": "at+jwt"},
        twins={"no role": ({"https://shop.example/roles": []}, "rights")},
    ),
    "Keycloak": Shape(
        {
            **dates(300, auth_time=NOW - 5, jti="onrtac:2d2f1f0c-8a4f-4a3c"),
            "iss": "https://id.shop.example/realms/shop",
            "aud": ["orders", "account"],
            "sub": "f:5c5f3d6e:ada",
            "typ": "Bearer",
            "azp": "web",
            "sid": "b8f0c9d2-90d5-4dd8-8f35-0f5c1d8a6f4b",
            "acr": "1",
            "allowed-origins": ["https://shop.example"],
            "realm_access": {"roles": ["default-roles-shop", "offline_access", "editor"]},
            "resource_access": {"account": {"roles": ["manage-account"]}},
            "scope": "openid profile email",
            "preferred_username": "ada",
        },
        twins={
            "another realm's administrator": ({"realm_access": {"roles": ["admin"]}}, "rights"),
            "a realm whose name begins the same": (
                {"iss": "https://id.shop.example/realms/shop2"},
                "issuer",
            ),
        },
    ),
    "Keycloak, with roles of a client": Shape(
        {
            **dates(300, jti="onrtac:1"),
            "iss": "https://id.shop.example/realms/shop",
            "aud": "orders",
            "sub": "f:5c5f3d6e:ada",
            "typ": "Bearer",
            "azp": "web",
            "resource_access": {"orders": {"roles": ["viewer"]}},
            "scope": "openid",
        },
        twins={
            "the role of another": ({"resource_access": {"web": {"roles": ["viewer"]}}}, "rights")
        },
    ),
    "Supabase, with its JWT secret": Shape(
        SUPABASE, algorithm="HS256", kid="J2kAbCdEfGhIjKlM", twins={"the public anon key": ANON_KEY}
    ),
    "Supabase, with signing keys": Shape(
        SUPABASE, algorithm="ES256", kid="k2", twins={"the public anon key": ANON_KEY}
    ),
    "Clerk": Shape(
        {
            "azp": "https://shop.example",
            **dates(60, nbf=NOW - 10),
            "fva": [0, -1],
            "iss": "https://clerk.shop.example",
            "sid": "sess_2b3Mk8sdXHrRzVvVtXbJ5mZ9Q0a",
            "sub": "user_2b3MjWZ9Q0aXHrRzVvVtXbJ5mk8",
            "v": 2,
            "o": {"id": "org_2b3", "rol": "admin", "slg": "shop"},
            "permissions": ["items:subscribe", "items:presence"],
        },
        header={"typ": "JWT", "cat": "cl_B7d4PD222AAA"},
        twins={"no permissions": ({"permissions": ABSENT}, "rights")},
    ),
    "Entra ID, for a user": Shape(
        {
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": ENTRA,
            **dates(4_500, nbf=NOW),
            "aio": "AXQAi/8IAAAA",
            "azp": "1b2a3c4d-be56-4843-9ff4-e66a39bb12e3",
            "azpacr": "0",
            "name": "Ada",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "preferred_username": "ada@shop.example",
            "rh": "0.ARoA",
            "scp": "Items.Read User.Read",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": "9122040d-6c67-4c5b-b112-36a304b66dad",
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        header=ENTRA_HEADER,
        kid="k3",
        subject="oid",
        twins={
            "another tenant": (
                {"iss": ENTRA.replace("9122040d", "00000000")},
                "issuer",
            ),
            "another scope": ({"scp": "User.Read"}, "rights"),
        },
    ),
    "Entra ID, for a service": Shape(
        {
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": ENTRA,
            **dates(3_600, nbf=NOW),
            "azp": "2b2a3c4d-be56-4843-9ff4-e66a39bb12e3",
            "azpacr": "1",
            "idtyp": "app",
            "oid": "790222be-ff1a-4d56-abd1-7e4f7d38e474",
            "roles": ["Items.Publish"],
            "sub": "790222be-ff1a-4d56-abd1-7e4f7d38e474",
            "tid": "9122040d-6c67-4c5b-b112-36a304b66dad",
            "ver": "2.0",
        },
        header=ENTRA_HEADER,
        kid="k3",
        twins={"no role": ({"roles": ABSENT}, "rights")},
    ),
    "Okta": Shape(
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://shop.okta.com/oauth2/default",
            "aud": "api://default",
            **dates(3_600, auth_time=NOW - 9),
            "cid": "0oabucvyc38HLL1ef0h7",
            "uid": "00ub0oNGTSWTBKOLGLNR",
            "scp": ["openid", "items:subscribe", "items:history"],
            "sub": "ada@shop.example",
        },
        header=NOTHING,
        twins={"no scope of ours": ({"scp": ["openid"]}, "rights")},
    ),
    "Amazon Cognito": Shape(
        {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["editors"],
            "iss": COGNITO,
            "version": 2,
            "client_id": "55ucsb8rlf6vml5a1lbfk5dpan",
            "origin_jti": "c0ffee00",
            "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            **dates(3_600, auth_time=NOW, jti="a1b2c3d4"),
            "username": "ada",
        },
        header=NOTHING,
        twins={
            "its ID token": (
                {"client_id": ABSENT, "aud": "55ucsb8rlf6vml5a1lbfk5dpan", "token_use": "id"},
                "audience",
            ),
            "no group": ({"cognito:groups": ABSENT}, "rights"),
        },
    ),
    "Firebase": Shape(
        {
            "role": "editor",
            "iss": "https://securetoken.google.com/shop-1234",
            "aud": "shop-1234",
            "auth_time": NOW - 60,
            "user_id": "tQzXq5PcmfVb8kY2sJ3nD7rLw9A2",
            "sub": "tQzXq5PcmfVb8kY2sJ3nD7rLw9A2",
            **dates(3_600),
            "iat": NOW + 1,  # its clock is ahead of most
            "email": "ada@shop.example",
            "email_verified": True,
            "firebase": {
                "identities": {"email": ["ada@shop.example"]},
                "sign_in_provider": "password",
            },
        },
        twins={
            "a clock far ahead": ({"iat": NOW + 60}, "issued_at"),
            "no role": ({"role": ABSENT}, "rights"),
        },
    ),
    "Duende IdentityServer": Shape(
        {
            "iss": "https://id.shop.example",
            **dates(3_600, nbf=NOW, auth_time=NOW),
            "aud": "orders",
            "scope": ["openid", "items:subscribe", "offline_access"],
            "amr": ["pwd"],
            "client_id": "web",
            "sub": "88421113",
            "idp": "local",
            "sid": "9E5F1B2C3D4A",
            "jti": "2C3D4A9E5F1B",
        },
        header={"typ": "at+jwt"},
        twins={"no scope of ours": ({"scope": ["openid"]}, "rights")},
    ),
    "Ory Hydra": Shape(
        {
            "aud": ["https://api.shop.example"],
            "client_id": "web",
            **dates(3_600, nbf=NOW),
            "ext": {},
            "iss": "https://auth.shop.example",
            "jti": "b1946ac9-2492-4d2c-98c1-7f3e1a2b3c4d",
            "scp": ["items:subscribe", "offline_access"],
            "sub": "ada",
        },
        twins={"no scope of ours": ({"scp": ["offline_access"]}, "rights")},
    ),
    "WorkOS": Shape(
        {
            "iss": "https://api.workos.com",
            "sub": "user_01HBEQKA6K4QJAS93VPE39W1JT",
            "sid": "session_01HQSXZGF8FHF7A9ZZFCW4387R",
            "jti": "01HQSXZXPPFPKMDD32RKTFY6PV",
            "org_id": "org_01HRDMC6CM357W30QMHMQ96Q0S",
            "role": "member",
            "permissions": ["items:subscribe"],
            **dates(300),
        },
        header=NOTHING,
        twins={"no permissions": ({"permissions": []}, "rights")},
    ),
    "Stytch": Shape(
        {
            "aud": ["project-live-8e0c4d"],
            **dates(300, nbf=NOW),
            "iss": "stytch.com/project-live-8e0c4d",
            "sub": "user-live-fde03dd1",
            "https://stytch.com/session": {
                "id": "session-live-fe6c042b",
                "authentication_factors": [{"type": "password"}],
                "roles": ["stytch_user", "editor"],
            },
        },
        twins={"no role": ({"https://stytch.com/session": {"roles": ["stytch_user"]}}, "rights")},
    ),
    "Better Auth": Shape(
        {
            **dates(900),
            "name": "Ada",
            "email": "ada@shop.example",
            "emailVerified": True,
            "image": None,
            "id": "k3nq8vGm2Z",
            "sub": "k3nq8vGm2Z",
            "iss": "https://shop.example",
            "aud": "https://shop.example",
        },
        header=NOTHING,
        algorithm="EdDSA",
        kid="k4",
    ),
    "Google, ID token": Shape(
        {
            "iss": "https://accounts.google.com",
            "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com",
            "sub": "10769150350006150715113082367",
            "hd": "shop.example",
            "email": "ada@shop.example",
            "email_verified": True,
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "name": "Ada",
            **dates(3_600),
        },
        twins={"any other Google account": ({"hd": ABSENT}, "rights")},
    ),
    "GitHub Actions": Shape(
        {
            "jti": "6f4762ed-0758-4ccb-808d-ee3af5d723a8",
            "sub": "repo:octo-org/shop:ref:refs/heads/main",
            "aud": "itemwire",
            "ref": "refs/heads/main",
            "repository": "octo-org/shop",
            "repository_owner": "octo-org",
            "run_attempt": "1",
            "actor": "ada",
            "event_name": "push",
            "iss": "https://token.actions.githubusercontent.com",
            **dates(600, nbf=NOW - 300),
        },
        header={"typ": "JWT", "x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA"},
        twins={"anybody's repository": ({"repository": "mallory/shop"}, "rights")},
    ),
}

SHAPES: Final = PROVIDERS | LIBRARIES
