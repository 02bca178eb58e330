"""The catalogue: every attack by its name. To add one, add a row to its table."""

from typing import Final

from api.testing.attacks.credentials import CREDENTIALS
from api.testing.attacks.handshakes import HANDSHAKES
from api.testing.attacks.items import ITEMS
from api.testing.attacks.origins import ORIGINS
from api.testing.attacks.refreshes import REFRESHES
from api.testing.attacks.revocations import REVOCATIONS
from api.testing.attacks.spellings import SPELLINGS
from api.testing.attacks.tickets import TICKETS
from api.testing.attacks.tokens import TOKENS
from api.testing.model import Attack

GROUPS: Final = (
    ORIGINS,
    CREDENTIALS,
    SPELLINGS,
    TOKENS,
    TICKETS,
    REVOCATIONS,
    REFRESHES,
    ITEMS,
    HANDSHAKES,
)

ATTACKS: Final[dict[str, Attack]] = {attack.name: attack for group in GROUPS for attack in group}
