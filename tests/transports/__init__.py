"""Tests of transports/."""
