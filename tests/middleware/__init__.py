"""Tests of middleware/."""
