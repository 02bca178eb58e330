"""Itemwire beside its peers, each on the same core, doing the same work: not part of the wheel."""
