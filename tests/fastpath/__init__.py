"""Tests of the protocol classes, on a real server."""
