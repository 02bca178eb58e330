"""The classes that uvicorn speaks HTTP and WebSocket with."""
