"""Benchmarks of Itemwire and its peers; not part of the wheel."""
