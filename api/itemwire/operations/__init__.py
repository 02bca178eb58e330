"""What operators see of all nodes: figures, channels, connections."""
