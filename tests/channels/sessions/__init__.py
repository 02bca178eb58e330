"""Tests of sessions/."""
