"""Routes declare what a caller needs and leave the rest to the core; one file per group."""
