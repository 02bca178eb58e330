"""Tests of the package itemwire.wire."""
