"""What a client sees: real servers on ports of their own, real clients."""
