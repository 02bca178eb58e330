"""Keys that verify and sign tokens: where they come from, and which are too weak."""
