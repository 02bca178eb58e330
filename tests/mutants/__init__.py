"""Mutation testing: small faults put into a copy of the code, each to be found by a test."""
