"""The ASGI middleware that every request passes on its way in, one file each."""
