"""Tests of the documentation: what it says is what happens."""
