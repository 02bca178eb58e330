"""Tests of presence/."""
