"""Tests of the package itemwire_auth.testing."""
