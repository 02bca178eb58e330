"""Which members are on which channel."""
