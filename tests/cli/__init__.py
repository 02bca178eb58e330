"""Tests of the command line, most of them on a server of its own."""
