"""Tests of the package itemwire.bench."""
