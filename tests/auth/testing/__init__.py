"""Tests of the package auth.testing."""
