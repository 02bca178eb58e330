"""Turns a token into a verified caller, one check at a time, and mints tokens."""
