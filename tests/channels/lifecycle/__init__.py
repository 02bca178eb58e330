"""Tests of lifecycle/."""
