"""Tests of the package api.bench."""
