"""The engine on NATS JetStream: `engine.py` is what the table of engines names."""
