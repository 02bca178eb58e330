"""The options of a channel, as an application or a file writes them."""

from collections.abc import Callable, Mapping
from typing import Final, TypedDict, cast, get_args

from itemwire.channels.limits.item_rules import ItemRules, PresenceMode
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from itemwire.rules.models import check_of
from itemwire.rules.schemas import JsonSchema
from itemwire_auth.settings import LARGEST, LONGEST


class ChannelOptions(TypedDict, total=False):
    """What may be said of a channel beside who may do what; the settings say the rest.

    - `model`: what messages must be: a Pydantic model, a msgspec struct, a union of either, or a
      JSON Schema. A message that does not fit is refused as `payload_invalid`, to its publisher
      only.
    - `history`, `history_bytes`, `max_age`: how many messages, how many bytes of them, and for how
      many seconds each is kept. With `history=0` messages are ephemeral: delivered, never stored.
    - `presence`: `on`, `counts` (members are counted, and not named) or `off`.
    - `slow_consumers`: `disconnect`, `drop_oldest` or `drop_newest`.
    - `max_message_bytes`: the largest payload, at most that of the settings.
    - `echo`: whether a connection gets what it publishes itself.
    - `publish_rate`, `bytes_rate`: how many messages, and how many bytes of them, one caller may
      publish to these items in a second, beside the rates of the settings.
    - `anonymous`: whether the items are public: who has no credential, or is nobody to `user`, may
      subscribe and nothing else.
    - `retain`: whether the last message is kept for who comes late, whatever `history` says: for
      `RETAIN_SECONDS` after it was published, or for so many seconds.
    """

    model: object
    history: int
    history_bytes: int
    max_age: float
    presence: PresenceMode
    slow_consumers: str
    max_message_bytes: int
    echo: bool
    retain: bool | float
    publish_rate: float
    bytes_rate: float
    anonymous: bool


def rules_of_options(options: ChannelOptions, max_message_bytes: int) -> ItemRules:
    """Return the rules that options describe; ValueError names the option that is wrong.

    `max_message_bytes` is that of the settings, which bounds every frame.
    """
    rest: dict[str, object] = {**options}
    model = model_of(options)
    rest.pop("model", None)
    for name, value in rest.items():
        wanted = _WANTED.get(name)
        if wanted is None:
            raise ValueError(f"{name} is no option of a channel: they are {', '.join(OPTIONS)}")
        is_right, meaning = wanted
        if not is_right(value):
            raise ValueError(f"{name}={value!r} must be {meaning}")
    most = options.get("max_message_bytes")
    if most is not None and most > max_message_bytes:
        raise ValueError(
            f"max_message_bytes={most} must be at most that of the settings, {max_message_bytes}"
        )
    policy = options.get("slow_consumers")
    return ItemRules(
        check=None if model is None else check_of(model),
        history=options.get("history"),
        history_bytes=options.get("history_bytes"),
        max_age=options.get("max_age"),
        presence=options.get("presence", "on"),
        slow_consumers=None if policy is None else SlowConsumerPolicy(policy),
        max_message_bytes=most,
        echo=options.get("echo", True),
        retain=_retained_for(options.get("retain", False)),
        publish_rate=options.get("publish_rate", 0),
        bytes_rate=options.get("bytes_rate", 0),
        anonymous=options.get("anonymous", False),
    )


RETAIN_SECONDS: Final = 30 * 86_400.0  # a month: items come and go, and each keeps a message


def _retained_for(retain: bool | float) -> float:
    return (RETAIN_SECONDS if retain else 0) if isinstance(retain, bool) else retain


def model_of(options: ChannelOptions) -> object:
    """Return the model that options name; ValueError for a JSON Schema that is none."""
    model = options.get("model")
    return JsonSchema.of(cast("Mapping[str, object]", model)) if isinstance(model, dict) else model


OPTIONS: Final = tuple(ChannelOptions.__annotations__)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not _is_flag(value) and 0 < value <= LARGEST


def _is_time(value: object) -> bool:
    return _is_rate(value) and cast("float", value) <= LONGEST


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_one_of(*words: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in words


_MODES: Final[tuple[str, ...]] = get_args(PresenceMode)
_WANTED: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "history": (_is_count, f"a number of messages, 0 to {LARGEST}"),
    "history_bytes": (_is_count, f"a number of bytes, 0 to {LARGEST}"),
    "max_age": (_is_time, f"a number of seconds above 0, at most {LONGEST}"),
    "publish_rate": (_is_rate, f"a number of messages a second above 0, at most {LARGEST}"),
    "bytes_rate": (_is_rate, f"a number of bytes a second above 0, at most {LARGEST}"),
    "presence": (_is_one_of(*_MODES), f"one of {', '.join(_MODES)}"),
    "slow_consumers": (
        _is_one_of(*SlowConsumerPolicy),
        f"one of {', '.join(SlowConsumerPolicy)}",
    ),
    "max_message_bytes": (_is_size, f"a number of bytes, 1 to {LARGEST}"),
    "echo": (_is_flag, "true or false"),
    "anonymous": (_is_flag, "true or false"),
    "retain": (
        lambda value: _is_flag(value) or _is_time(value),
        f"true, false, or a number of seconds above 0, at most {LONGEST}",
    ),
}
