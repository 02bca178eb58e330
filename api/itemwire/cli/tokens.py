"""`token mint` and `token inspect`: make a token, and find out why one is refused."""

import asyncio
import contextlib
import json
import sys
from typing import Any, Final

import click

from itemwire.cli.configuration import ConfigurationProblem, Stamp, load_settings, stamp_of
from itemwire.settings import Settings
from itemwire_auth.building import build_authenticator, build_policy
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.keys.static import signing_key_from_file, signing_key_from_secret
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.scopes import Action
from itemwire_auth.tokens.minting import mint as mint_token

SOURCES: Final = {
    "sub": "--subject",
    "exp": "--lifetime",
    "iat": "the clock",
    "scope": "--scope",
    "iss": "ITEMWIRE_ISSUER",
    "aud": "ITEMWIRE_AUDIENCE",
}
"""Claims that `mint` writes, and where they come from."""
MARKS = {True: "ok", False: "FAILED", None: "-"}


@click.group()
def token() -> None:
    """Make and inspect tokens."""


@token.command()
@click.option("--subject", required=True, help="Who the token is for (`sub`).")
@click.option("--scope", default="", help="Rights, e.g. 'items:subscribe items:42:publish'.")
@click.option("--lifetime", default=3600, show_default=True, help="Seconds until it expires.")
@click.option("--kid", help="The key of ITEMWIRE_KEYS_FILE to sign with.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=JSON", help="A further claim.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def mint(
    *,
    subject: str,
    scope: str,
    lifetime: int,
    kid: str | None,
    claims: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print a token signed with the configured key, for the configured issuer and audience."""
    settings = load_settings()
    stamp = stamp_of(settings)
    further = dict(map(_claim, claims))
    token_id = further.pop("jti", None)
    _refuse_twice(further, {"sub": subject, "exp": lifetime, "iat": "now", "scope": scope}, stamp)
    value = mint_token(
        signing_key(settings, kid),
        subject=subject,
        scope=scope,
        lifetime=lifetime,
        token_id=None if token_id is None else str(token_id),
        claims=further,
        **stamp,
    )
    for result in asyncio.run(_decide(settings, value)).checks:
        if result.passed is False:
            problem = f"Warning: the server refuses this token: {result.detail} ({result.name})"
            click.echo(problem, err=True)
    click.echo(json.dumps({"token": value}) if as_json else value)


@token.command()
@click.argument("value", metavar="TOKEN", default="-")
@click.option("--item", help="Also print the token's rights to this item.")
@click.option(
    "--action",
    type=click.Choice([action.value for action in Action]),
    help="Also check this right; needs --item.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(value: str, *, item: str | None, action: str | None, as_json: bool) -> None:
    """Check a token as the server does, and print which check fails and why.

    Reads the token from standard input if it is `-` or absent, which keeps it out of the shell's
    history. Exits with 1 if the token is refused. With --item, ITEMWIRE_POLICY_URL is asked if it
    is set; an application's own `authorize_item` is not.
    """
    if action is not None and item is None:
        raise click.UsageError("--action needs --item")
    text = sys.stdin.read().strip() if value == "-" else value
    decision = asyncio.run(_decide(load_settings(), text, item, action))
    if as_json:
        click.echo(json.dumps(decision.report(), indent=2))
    else:
        for result in decision.checks:
            click.echo(f"{MARKS[result.passed]:>6}  {result.name:<12} {result.detail}".rstrip())
        click.echo(f"refused: {decision.reason}" if decision.reason else "accepted")
    sys.exit(0 if decision.accepted else 1)


async def _decide(
    settings: Settings, text: str, item: str | None = None, action: str | None = None
) -> Decision:
    try:
        authenticator, policy = build_authenticator(settings), build_policy(settings)
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(policy, PolicyURL):
            await stack.enter_async_context(policy)
        await authenticator.fetch_keys()
        return await explain(
            authenticator.verifier, policy, text, item, Action(action) if action else None
        )


def signing_key(settings: Settings, kid: str | None) -> SigningKey:
    """Return the configured key, or the one named `kid`; `ConfigurationProblem` without one."""
    try:
        if settings.secret is not None:
            return signing_key_from_secret(settings.secret.get_secret_value())
        if settings.keys_file is not None:
            return signing_key_from_file(settings.keys_file, kid)
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error
    raise ConfigurationProblem(
        "no key to sign with: set ITEMWIRE_SECRET or ITEMWIRE_KEYS_FILE to the server's value"
    )


def _refuse_twice(claims: dict[str, Any], given: dict[str, object], stamp: Stamp) -> None:
    """Refuse a claim that is given in another way as well, and would be lost."""
    own = {**given, "iss": stamp["issuer"], "aud": stamp["audience"]}
    for name, source in SOURCES.items():
        if name in claims and own[name] and own[name] != claims[name]:
            raise click.BadParameter(f"{name!r} comes from {source}", param_hint="--claim")


def _claim(text: str) -> tuple[str, Any]:
    """Parse NAME=JSON; a value that is not JSON is taken as text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.BadParameter(f"{text!r} is not NAME=JSON", param_hint="--claim")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
