"""What every check is given."""

from dataclasses import dataclass, field

from itemwire.settings import Settings


@dataclass(frozen=True, slots=True)
class Visit:
    """The settings that are looked at, and how the server is reached from outside."""

    settings: Settings
    public_url: str | None = None  # without a slash at its end
    token: str | None = field(default=None, repr=False)  # one that the server takes
    idle_seconds: float = 0  # for which a socket says nothing; 0: that is not tried
    source: str | None = None  # the address of this machine to come from; None: any
