"""What nodes tell each other: members, connection counts, revocations."""
