"""How messages reach each subscriber: in order, joined by tick, in bounded memory."""
