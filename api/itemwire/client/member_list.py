"""Who is on an item, kept equal to the server's list."""

from itemwire.client.envelopes import Incoming, MemberFields
from itemwire.client.received import ItemMember


class MemberList:
    """The members by connection: a welcome, pages, and who joins and leaves, in their order."""

    def __init__(self) -> None:
        self._members: dict[str, ItemMember] = {}
        self.count = 0

    def all(self) -> tuple[ItemMember, ...]:
        """Return the members, in the order in which they became known."""
        return tuple(self._members.values())

    def clear(self) -> None:
        """Forget all of them."""
        self._members.clear()
        self.count = 0

    def welcome(self, welcome: Incoming) -> bool:
        """Begin with the members of a welcome, and return whether there are more pages."""
        self.clear()
        self._add(welcome.members or ())
        self.count = welcome.member_count or 0
        return self.count > len(self._members)

    def page(self, reply: Incoming) -> None:
        """Add a page of members."""
        self._add(reply.members or ())
        self.count = max(reply.count, len(self._members))

    def change(self, event: Incoming) -> None:
        """Follow somebody who joined, left, or has another `info`, or the number of a crowd."""
        if event.type == "count":
            self.count = max(event.member_count or 0, len(self._members))
            return
        member = event.member
        if member is None:
            return
        if event.type == "left":
            if self._members.pop(member.connection, None) is not None:
                self.count = max(self.count - 1, len(self._members))
            return
        if event.type == "joined" and member.connection not in self._members:
            self.count += 1
        self._members[member.connection] = ItemMember.of(member)

    def _add(self, members: "list[MemberFields] | tuple[MemberFields, ...]") -> None:
        for member in members:
            self._members[member.connection] = ItemMember.of(member)
