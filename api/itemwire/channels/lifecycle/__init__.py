"""When connections end: by expiry, by deadline, by drain."""
