"""What operators see of all nodes, and look at beside them with `itemwire doctor`."""
