"""Tests of what operators see of all nodes."""
