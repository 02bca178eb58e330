"""Who is on which channel."""

from api.messages import Member


class Presence:
    """The members of each channel, in the order they came."""

    def __init__(self) -> None:
        self._members: dict[str, dict[str, Member]] = {}

    def join(self, channel: str, member: Member) -> None:
        """Note that a member came."""
        self._members.setdefault(channel, {})[member.connection] = member

    def leave(self, channel: str, member: Member) -> bool:
        """Note that a member went; False: it was not there."""
        members = self._members.get(channel, {})
        if members.pop(member.connection, None) is None:
            return False
        if not members:
            del self._members[channel]
        return True

    def members(self, channel: str) -> list[Member]:
        """List who is there."""
        return list(self._members.get(channel, {}).values())
