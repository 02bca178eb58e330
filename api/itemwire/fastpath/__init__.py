"""Protocol classes for uvicorn: HTTP and WebSocket."""
