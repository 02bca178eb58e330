"""What nodes tell each other: members, sockets, revocations."""
