"""Tests of the package itemwire.channels: no server, no socket, no loop."""
