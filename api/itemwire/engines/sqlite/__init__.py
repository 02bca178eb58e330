"""The engine in one SQLite file: `engine.py` is what the table of engines names."""
