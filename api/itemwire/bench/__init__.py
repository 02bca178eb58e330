"""A load generator for live channels: one process, one thread, many sockets.

It knows no server's code, only a `Target`: Itemwire, or whatever sends what it is sent to all who
watch an item.
"""
