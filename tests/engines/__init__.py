"""Tests of the package itemwire.engines."""
