"""The core: who hears what, and what each connection does; no framework inside.

Everything here is called on one event loop and returns at once. `Session` is what a server
calls; `Transport` is what it is given to call back.
"""
