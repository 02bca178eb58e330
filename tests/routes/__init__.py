"""Tests of the HTTP routes, on a real server."""
