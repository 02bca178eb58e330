"""A load generator for live channels: one process, one thread, many sockets.

It is independent of the server's code and knows only a `BenchTarget`: Itemwire, or any server that
sends each message it receives to all subscribers of an item.
"""
