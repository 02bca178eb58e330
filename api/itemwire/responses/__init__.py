"""Reads request bodies, and writes problems and refusals."""
