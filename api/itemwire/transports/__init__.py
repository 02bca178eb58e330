"""How a session reaches its client: over ASGI, detached, or as server-sent events."""
