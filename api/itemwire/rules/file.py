"""Reads the channels of the stand-alone server from a TOML file: a table for each pattern."""

import tomllib
from pathlib import Path
from typing import Any, Final, cast

from itemwire.channels.limits.item_rules import NO_RULES
from itemwire.rules.channels import ChannelRule, ChannelRules
from itemwire.rules.options import OPTIONS, ChannelOptions, model_of, rules_of_options
from itemwire.rules.schemas import JsonSchema
from itemwire_auth.plain_text import decode_text, read_text_file

MODEL: Final = "model"
UNKNOWN: Final = "unknown"


def add_channels_of(path: Path, rules: ChannelRules, max_message_bytes: int) -> None:
    """Add the channels of a file to rules, in its order, and what decides about other items.

    Raises ValueError with the file, the table and the key of what is wrong.
    """
    for key, value in _read(path).items():
        try:
            if key == UNKNOWN:
                rules.unknown = value
            else:
                rules.add(_rule_of(path.parent, key, value, max_message_bytes))
        except ValueError as error:
            where = "" if key == UNKNOWN else f"[{key!r}] "
            raise ValueError(f"{path}: {where}{error}") from error


def options_shown(rule: ChannelRule) -> dict[str, object]:
    """Return the options of a rule that differ from those of a channel without any."""
    names = [name for name in OPTIONS if name != MODEL]
    own = {name: getattr(rule.item_rules, name) for name in names}
    shown = {name: value for name, value in own.items() if value != getattr(NO_RULES, name)}
    return shown if rule.model is None else {MODEL: "JSON Schema", **shown}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(decode_text(read_text_file(path), "it").replace("\r\n", "\n"))
    except OSError as error:
        raise ValueError(f"cannot read the channels file {path}: {error.strerror}") from error
    except RecursionError:
        raise ValueError(f"the channels file {path} is nested too deeply") from None
    except ValueError as error:  # no UTF-8, or no TOML
        raise ValueError(f"the channels file {path} is no TOML: {error}") from error


def _rule_of(folder: Path, pattern: str, table: object, max_message_bytes: int) -> ChannelRule:
    if not isinstance(table, dict):
        raise ValueError("is no table of options")  # noqa: TRY004 - a fault of the file
    options = cast("ChannelOptions", table)
    model = options.get(MODEL)
    if isinstance(model, str):
        options[MODEL] = JsonSchema.read_file(folder / model)
    elif model is not None and not isinstance(model, dict):
        raise ValueError(f"{MODEL}={model!r} must be a JSON Schema, or the name of a file with one")
    rules = rules_of_options(options, max_message_bytes)
    return ChannelRule.of(pattern, None, rules, model=model_of(options))
