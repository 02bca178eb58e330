"""Turns tokens into verified callers, one check at a time, and mints tokens."""
