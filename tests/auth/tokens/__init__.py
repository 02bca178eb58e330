"""Tests of tokens/."""
