"""`config`, and loading the settings for every command."""

import json
import re
from typing import Final, TypedDict, cast

import click
from pydantic import SecretStr, ValidationError

from itemwire.rules.channels import ChannelRules
from itemwire.rules.file import add_channels_of, options_shown
from itemwire.settings import PREFIX, Settings
from itemwire.variables import remarks, source_of

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
# In a URL: everything up to the last @, because a password may contain an unescaped @.
PASSWORDS: Final = re.compile(r"(?<=://)\S*(?=@)|(?<=password=)[^&]*")

OCTAL: Final = {"uds_mode"}


class ConfigurationProblem(click.ClickException):
    """A setting is wrong; the message says which one and what it may be."""

    exit_code = EXIT_CONFIGURATION


def load_settings(**given: object) -> Settings:
    """Return the settings; those given on the command line win over the environment.

    Prints a warning for each ITEMWIRE_ variable that is unknown or that was changed; raises
    `ConfigurationProblem`.
    """
    try:
        for remark in remarks():
            click.echo(f"Warning: {remark}", err=True)
        return Settings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationProblem("\n".join(faults_of(error))) from error
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error


def faults_of(error: ValidationError) -> list[str]:
    """Return a line for each wrong setting, by its name and without its value."""
    faults = error.errors(include_url=False, include_input=False)
    return [_told(fault["loc"], fault["msg"].removeprefix("Value error, ")) for fault in faults]


def _told(place: tuple[int | str, ...], message: str) -> str:
    """Return a message with the name of its setting before it, once."""
    name = f"{PREFIX}{str(place[0]).upper()}: " if place else ""
    return f"{name}{message.removeprefix(name)}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def config(*, as_json: bool) -> None:
    """Print every setting with its value and the source of the value."""
    settings = load_settings()
    channels = _channels_of(settings)
    rows = {
        f"{PREFIX}{name.upper()}": {"value": _shown(name, value), "source": source_of(name)}
        for name, value in settings
    }
    if as_json:
        shown = rows if channels is None else {**rows, "channels": channels}
        click.echo(json.dumps(shown, indent=2))
        return
    width = max(map(len, rows))
    for name, row in rows.items():
        click.echo(f"{name:{width}}  {row['value'] or '-':<24}  {row['source']}")
    for pattern, options in (channels or {}).items():
        told = " ".join(f"{name}={value}" for name, value in options.items())
        click.echo(f"{'channel ' + pattern:{width}}  {told or '-'}")


def _channels_of(settings: Settings) -> dict[str, dict[str, object]] | None:
    """Return the options of each channel of the file, by pattern; None without a file."""
    if settings.channels_file is None:
        return None
    rules = ChannelRules()
    try:
        add_channels_of(settings.channels_file, rules, settings.max_message_bytes)
    except ValueError as error:
        raise ConfigurationProblem(f"{PREFIX}CHANNELS_FILE: {error}") from error
    return {rule.pattern.text: options_shown(rule) for rule in rules}


def _shown(name: str, value: object) -> str | None:
    """Return a value as it is written in `.env`, but for what is secret."""
    if isinstance(value, SecretStr):
        return "(hidden)"
    if isinstance(value, bool):
        return str(value).lower()
    if name in OCTAL:
        return f"{value:o}"
    if isinstance(value, tuple):
        return ",".join(map(str, cast("tuple[object, ...]", value)))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None else PASSWORDS.sub("(hidden)", str(value))


class Stamp(TypedDict):
    """The claims and header that every token for this server needs."""

    issuer: str | None
    audience: str | None
    token_type: str | None


def stamp_of(settings: Settings) -> Stamp:
    """Return the issuer, audience and type that the settings demand of a token."""
    return Stamp(
        issuer=settings.issuer,
        audience=settings.audience[0] if settings.audience else None,
        token_type=settings.token_types[0] if settings.token_types else None,
    )
