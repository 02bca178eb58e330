"""The engine on PostgreSQL: `engine.py` is what the table of engines names."""
