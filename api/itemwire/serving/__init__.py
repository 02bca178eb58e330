"""Runs the application in one process, or in several on one port."""
