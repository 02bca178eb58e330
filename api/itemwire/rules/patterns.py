"""The patterns of channels: `order:{number}`, `room:{name}`, `logs:{rest:path}`."""

import re
from dataclasses import dataclass
from typing import Final

from itemwire.arguments import check_text

_TEXT: Final = re.compile(r"[A-Za-z0-9._~-]+")  # as in an item id
PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
_REST: Final = ".+"
_SEGMENT: Final = "[^:]+"


FORM: Final = "it is segments between colons, as in `order:{number}`; types stand in the function"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of item ids, whose segments stand between colons.

    `{name}` stands for one segment, and `{name:path}`, at the end, for all that follow.
    """

    text: str
    parameters: tuple[str, ...]
    _regex: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Return the pattern that a text describes; ValueError if it is none."""
        check_text("the pattern of a channel", text)
        segments = text.split(":") if ":path}" not in text else _split(text)
        parameters: list[str] = []
        parts: list[str] = []
        for place, segment in enumerate(segments):
            parameter = PARAMETER.fullmatch(segment)
            if parameter is None:
                if not _TEXT.fullmatch(segment):
                    fault = f"{segment!r} is neither text nor a parameter; {FORM}"
                    raise ValueError(f"{text!r} is no pattern: {fault}")
                parts.append(re.escape(segment))
                continue
            name, is_rest = parameter[1], bool(parameter[2])
            if is_rest and place != len(segments) - 1:
                raise ValueError(f"{text!r} is no pattern: {segment!r} must be its end")
            if name in parameters:
                raise ValueError(f"{text!r} is no pattern: it has two parameters {name!r}")
            parameters.append(name)
            parts.append(f"(?P<{name}>{_REST if is_rest else _SEGMENT})")
        return cls(text, tuple(parameters), re.compile(":".join(parts), re.DOTALL))

    @property
    def segments(self) -> list[str]:
        """Return what stands between the colons."""
        return _split(self.text)

    def match(self, item_id: str) -> dict[str, str] | None:
        """Return the parameters in an item id, or None if the pattern is not its."""
        found = self._regex.fullmatch(item_id)
        return found.groupdict() if found else None

    def fill(self, parameters: dict[str, object]) -> str:
        """Return the item id with these parameters, or raise ValueError for another set of them."""
        if parameters.keys() != set(self.parameters):
            wanted = ", ".join(self.parameters) or "none"
            raise ValueError(f"the channel {self.text!r} has these parameters: {wanted}")
        filled = PARAMETER.sub(lambda found: str(parameters[found[1]]), self.text)
        if self.match(filled) != {name: str(value) for name, value in parameters.items()}:
            raise ValueError(f"{filled!r} is no item of the channel {self.text!r}")
        return filled


def _split(text: str) -> list[str]:
    """Split at the colons between segments, and not at that of `{rest:path}`."""
    return [part.replace("\0", ":") for part in text.replace(":path}", "\0path}").split(":")]
