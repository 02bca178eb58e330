"""Reads variables and `.env` as they were meant, and says what it changed.

Deployment tools pass values on with quotes, line breaks or white space around them, or empty where
nothing was set; orchestrators set variables of their own. Each is mended with a note for the log,
or ends the start with one line: no setting has another value than its operator reads.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource
from typing_extensions import override

from itemwire_auth.plain_text import (
    QUOTES,
    decode_text,
    read_text_file,
    said_of,
    without_surroundings,
)

NOTHING: Final = "none"  # the word for a list without entries: an empty value is an unset one


# What Kubernetes sets in each pod for each service, and Docker for each link: a service that is
# called `itemwire` gets ITEMWIRE_PORT, which is a setting as well.
_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://[^/\s]+:\d+")
_LINK_NAME: Final = re.compile(
    r"[A-Z0-9_]+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)\w*)?)"
)

_REFERENCE: Final = re.compile(r"\$\{([^}:]*)\}")  # as python-dotenv finds one without a default

EnvFiles = str | Path | Sequence[str | Path] | None


@dataclass(slots=True)
class Variables:
    """Variables by name in capitals, the source of each, and notes on those that were changed."""

    values: dict[str, str] = field(default_factory=dict[str, str])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])


class MendedEnvironment(EnvSettingsSource):
    """The source of settings for pydantic-settings; `read_environment` says what it changes."""

    def __init__(self, settings_cls: type[BaseSettings], env_file: EnvFiles) -> None:
        given = [env_file] if isinstance(env_file, str | Path) else env_file or []
        self._files = [Path(one) for one in given]
        super().__init__(settings_cls)

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        """Return the variables in lower case, as the base class looks for them."""
        values = read_environment(self.settings_cls, *self._files).values
        prefix = _prefix_of(self.settings_cls)
        # A field of a host's own settings may be read from a variable of another name.
        others = {name: value for name, value in os.environ.items() if not _has(prefix, name)}
        return {name.lower(): value for name, value in (others | values).items()}


def read_environment(settings: type[BaseSettings], *env_files: Path) -> Variables:
    """Return the variables that are set for these settings, and what was changed about them.

    A value in the environment wins over the same in a file, and the last file over the others.
    Raises ValueError, in one line, for what cannot be read, and for what nobody can have meant.
    """
    prefix = _prefix_of(settings)
    fields = {f"{prefix}{name}".upper(): one for name, one in settings.model_fields.items()}
    found = Variables()
    sources: list[tuple[str, Mapping[str, str]]] = [
        (str(path), _read_file(path, found.notes)) for path in env_files
    ]
    for source, variables in (*sources, ("environment", os.environ)):
        for variable, value in _of_prefix(prefix, variables):
            mended = _mended(variable, value, fields.get(variable), found.notes)
            if mended is not None:
                found.values[variable], found.sources[variable] = mended, source
    return found


def is_of_platform(variable: str) -> bool:
    """Return whether a variable has the name of one that an orchestrator sets for a service."""
    return _LINK_NAME.fullmatch(variable) is not None


def _prefix_of(settings: type[BaseSettings]) -> str:
    return (settings.model_config.get("env_prefix") or "").upper()


def _has(prefix: str, name: str) -> bool:
    return name.upper().startswith(prefix)


def _of_prefix(prefix: str, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """List the variables that may be settings, those with a name in capitals last: they win."""
    for name in sorted(variables, key=str.isupper):
        if _has(prefix, name):
            yield name.upper(), variables[name]


def _mended(variable: str, value: str, one: FieldInfo | None, notes: list[str]) -> str | None:
    """Return the value that was meant; None if none was. What is no setting stays as it is."""
    if one is None:
        return value
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{variable} is not UTF-8: set it in that encoding")
    if variable.endswith("_PORT") and _LINK.fullmatch(value):
        notes.append(
            f"{variable}={value} is ignored: Kubernetes sets it for a service of that name "
            "(`enableServiceLinks: false` in the pod's spec keeps it out)"
        )
        return None
    is_secret = SecretStr.__name__ in str(one.annotation)
    inside = without_surroundings(value)
    if not inside:
        _note_unset(variable, one, notes)
        return None
    if inside.lower() == NOTHING and _entries_of(one):
        return ""
    if not is_secret and (inside.startswith(QUOTES) or inside.endswith(QUOTES)):
        raise ValueError(f"{variable} begins or ends with a quotation mark: write it without")
    if inside != value:
        notes.append(said_of(variable))
    return inside


def _note_unset(variable: str, one: FieldInfo, notes: list[str]) -> None:
    """Note an empty value where somebody may have meant an empty list."""
    if default := ",".join(map(str, _entries_of(one))):
        notes.append(
            f"{variable} is empty, so its default is used, {default}: write `{NOTHING}` for none"
        )


def _entries_of(one: FieldInfo) -> tuple[object, ...]:
    """Return the entries that a list has by default."""
    default: object = one.default
    return cast("tuple[object, ...]", default) if isinstance(default, tuple) else ()


def _read_file(path: Path, notes: list[str]) -> dict[str, str]:
    """Return the variables of a `.env` file; none if there is no such file."""
    try:
        text = decode_text(read_text_file(path), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        hint = "; a container gets one in place of a file that is not there"
        is_folder = error.errno == errno.EISDIR
        raise ValueError(
            f"cannot read {path}: {error.strerror}{hint if is_folder else ''}"
        ) from None
    _check_lines(path, text, notes)
    values = dotenv_values(stream=io.StringIO(text))
    return {name: value or "" for name, value in values.items()}


def _check_lines(path: Path, text: str, notes: list[str]) -> None:
    """Raise ValueError for a line that python-dotenv would leave out, and note what it loses."""
    known = set(os.environ)
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            text = line.original.string
            number = line.original.line + text[: -len(text.lstrip())].count("\n")
            raise ValueError(
                f"line {number} of {path} is not NAME=value with quotation marks in pairs"
            )
        notes.extend(
            f"{line.key} in {path} holds ${{{name}}}, which is not set, and is read without it"
            for name in _REFERENCE.findall(line.value or "")
            if name not in known
        )
        known.add(line.key or "")
