"""Tests of the package api.engines."""
