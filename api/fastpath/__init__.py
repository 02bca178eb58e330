"""The classes uvicorn speaks HTTP and WebSocket with, and what a later fast path builds on."""
