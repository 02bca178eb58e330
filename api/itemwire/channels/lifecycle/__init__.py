"""Which connections are open on this node, and what ends them."""
