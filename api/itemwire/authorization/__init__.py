"""Asks the application's dependencies: at the handshake, and again on an open socket."""
