"""Tests of the pytest kit."""
