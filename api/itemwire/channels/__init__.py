"""The core: channels, their subscriptions, and what each connection does; no framework.

Everything here is called on one event loop and returns at once; only a publish may come from
another thread. A server calls a `Session`, and is called back by way of a `Transport`.
"""
