"""Asks the application's dependencies: at the handshake, and again in mid-connection."""
