"""Runs many clients of both languages, breaks their connections, and compares what they heard.

    python -m tests.client_run --seconds 600 --clients 200

Each client follows an item through a proxy, with tokens of a few seconds, and publishes to it now
and then. The server, on SQLite, is killed and drained in turns, and the proxy cuts connections. At
the end every log is compared with what was acknowledged: nothing lost without `gap`, nothing twice.
The command exits with 1 otherwise, or if clients came back too close together.
"""
