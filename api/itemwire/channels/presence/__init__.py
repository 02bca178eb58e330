"""Who is on which channel."""
