"""Tests of the package api.channels: no server, no socket, no loop."""
