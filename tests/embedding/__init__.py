"""Channels inside a real application of somebody else: `shop`."""
