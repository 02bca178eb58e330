"""The engine on Redis and Valkey: `engine.py` is what the table of engines names."""
