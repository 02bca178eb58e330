"""The catalogue of attacks, by name. To add one, add a row to the table of its module."""

from typing import Final

from itemwire.testing.attacks.credentials import CREDENTIALS
from itemwire.testing.attacks.guesses import GUESSED
from itemwire.testing.attacks.handshakes import HANDSHAKES
from itemwire.testing.attacks.items import ITEMS
from itemwire.testing.attacks.origins import ORIGINS
from itemwire.testing.attacks.refreshes import REFRESHES
from itemwire.testing.attacks.revocations import REVOCATIONS
from itemwire.testing.attacks.spellings import SPELLINGS
from itemwire.testing.attacks.tickets import TICKETS
from itemwire.testing.attacks.tokens import TOKENS
from itemwire.testing.model import Attack

GROUPS: Final = (
    ORIGINS,
    CREDENTIALS,
    GUESSED,
    SPELLINGS,
    TOKENS,
    TICKETS,
    REVOCATIONS,
    REFRESHES,
    ITEMS,
    HANDSHAKES,
)

ATTACKS: Final[dict[str, Attack]] = {attack.name: attack for group in GROUPS for attack in group}
