"""Mirrors `itemwire.rules`."""
