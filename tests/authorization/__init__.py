"""Tests of authorization/."""
