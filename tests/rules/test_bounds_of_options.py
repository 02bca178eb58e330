"""Each number that is given has a lower and an upper bound, wherever it is given."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import ValidationError

from itemwire import Itemwire
from itemwire.rules.channels import ChannelRules
from itemwire.rules.file import add_channels_of
from itemwire.rules.options import OPTIONS
from itemwire.rules.shared import SharedRules
from itemwire.settings import Settings
from itemwire_auth.settings import LARGEST, LONGEST
from tests.test_channel_options import caller
from tests.test_publisher_rules import DEFAULT
from tests.test_startup_checks import settings_of

MOST_BYTES: Final = 65_536  # of a message, by the settings

LEAST_AND_MOST: Final[dict[str, tuple[float, float]]] = {
    "history": (0, LARGEST),
    "history_bytes": (0, LARGEST),
    "max_age": (0.001, LONGEST),
    "retain": (0.001, LONGEST),
    "publish_rate": (0.001, LARGEST),
    "bytes_rate": (0.001, LARGEST),
    "max_message_bytes": (1, MOST_BYTES),
}
NO_NUMBERS: Final = {"model", "presence", "slow_consumers", "echo", "anonymous"}
SHARED: Final = ("history", "history_bytes", "max_age", "retain", "max_message_bytes")
SETTINGS: Final = tuple(
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in (int, float, int | None)
)


def wrong(name: str) -> list[object]:
    """List what no option takes, with the numbers just beyond its bounds."""
    least, most = LEAST_AND_MOST[name]
    step = 0.001 if least == 0.001 else 1
    over = [most + 1, 10**18, 10**400, math.nan, math.inf]
    flags = [] if name == "retain" else [True]
    return [least - step, -math.inf, *over, *flags, "5", [], {}]


def in_code(name: str, value: object, _folder: Path) -> None:
    """Declare a channel."""
    options: Any = {name: value}
    Itemwire(user=caller, settings=settings_of(secret=None)).add_channel("a:{id}", **options)


def in_a_file(name: str, value: object, folder: Path) -> None:
    """Read a channels file, whose numbers are written as in JSON but for the infinite ones."""
    path = folder / "channels.toml"
    text = json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")
    path.write_text(f'["a:{{id}}"]\n{name} = {text}\n')
    add_channels_of(path, ChannelRules(), MOST_BYTES)


@pytest.mark.parametrize("place", [in_code, in_a_file])
@pytest.mark.parametrize("name", LEAST_AND_MOST)
def test_refuses_a_number_out_of_bounds(place: Any, name: str, tmp_path: Path) -> None:  # noqa: ANN401 - of the functions above
    """And what is no number; it says which option, and what it may be."""
    for value in [*wrong(name), *([None] if place is in_code else [])]:
        with pytest.raises(ValueError, match=name):
            place(name, value, tmp_path)


@pytest.mark.parametrize("place", [in_code, in_a_file])
@pytest.mark.parametrize("name", LEAST_AND_MOST)
def test_takes_the_numbers_at_the_bounds(place: Any, name: str, tmp_path: Path) -> None:  # noqa: ANN401 - of the functions above
    """They are the twins of those that are refused."""
    for value in LEAST_AND_MOST[name]:
        place(name, value, tmp_path)


def test_every_option_is_here() -> None:
    """One that comes later, too."""
    assert set(OPTIONS) == NO_NUMBERS | LEAST_AND_MOST.keys()


def rules_with(name: str, value: object) -> bytes:
    """Return the rules of a node with one that has this option."""
    rule = {"pattern": "a:{id}", name: value}
    text = {"history": 1, "history_bytes": 1, "max_age": 1, "rules": [rule]}
    return json.dumps(text).encode()


@pytest.mark.parametrize("name", SHARED)
def test_a_publisher_refuses_rules_out_of_bounds(name: str) -> None:
    """Those of its store, which say 0 where they say nothing."""
    most = LARGEST if name == "max_message_bytes" else LEAST_AND_MOST[name][1]
    beyond: list[object] = [-1, most + 1, 10**18, 10**400, math.nan, math.inf, True, "5", []]
    for value in beyond:
        with pytest.raises(ValueError, match=r"rules|malformed|JSON"):
            SharedRules.read(rules_with(name, value), DEFAULT)
    for value in (0, most):
        assert SharedRules.read(rules_with(name, value), DEFAULT).of_item("a:1") is not None


@pytest.mark.parametrize("name", ["history", "history_bytes", "max_age"])
def test_a_publisher_refuses_settings_out_of_bounds(name: str) -> None:
    """Those that a node has left beside its rules."""
    said = {"history": 1, "history_bytes": 1, "max_age": 1, "rules": []}
    beyond: list[object] = [-1, 10**18, math.nan, math.inf, True, "5", None]
    for value in beyond:
        with pytest.raises(ValueError, match=r"\$|malformed|JSON"):
            SharedRules.read(json.dumps({**said, name: value}).encode(), DEFAULT)
    for value in (0, LEAST_AND_MOST[name][1]):
        SharedRules.read(json.dumps({**said, name: value}).encode(), DEFAULT)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_a_bound_in_both_directions(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In code and in the environment."""
    default = Settings.model_fields[name].default
    may_be_unset = [] if default is None else [None]
    beyond: list[Any] = [-1, 10**18, math.nan, math.inf, True, "many", [], *may_be_unset]
    for value in beyond:
        given: dict[str, Any] = {name: value}
        with pytest.raises(ValidationError, match=name):
            Settings(**given)
    for text in ("-1", "1e18", "1" + "0" * 18, "nan", "inf", "true", "many"):
        monkeypatch.setenv(f"ITEMWIRE_{name.upper()}", text)
        with pytest.raises(ValidationError, match=name):
            Settings()
    text = f"{default:o}" if name == "uds_mode" else str(default or 0)  # a mode is octal
    monkeypatch.setenv(f"ITEMWIRE_{name.upper()}", text)
    assert getattr(Settings(), name) == (default or 0)
