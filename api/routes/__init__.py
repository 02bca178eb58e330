"""Routes: they declare what a caller needs and leave the rest to the core. One file a group."""
