"""Attacks on a server in a process of its own, and what they may cost: `python -m tests.siege`.

The command runs every attack of `tests.siege.attacks` against a fresh server on the first core,
from a process on the second one, while a neighbour publishes and listens. It prints what each
attack cost beside its bounds, and exits with 1 if one is broken. `tests/scenarios/test_siege.py` is
its short form.
"""
