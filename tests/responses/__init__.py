"""Tests of responses/."""
