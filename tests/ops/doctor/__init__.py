"""Tests of what an operator asks for beside the server."""
