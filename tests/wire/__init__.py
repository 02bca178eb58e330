"""Tests of the package api.wire."""
