"""Publishes for a while, breaks what can break, and checks every subscriber's log.

    python -m tests.stress --seconds 60 --engine postgresql --nodes 2

Publishers repeat themselves with the same key until they are answered, some watchers break off and
resume, others stay, and stuck readers take nothing, while one fault follows the other. It ends with
the first hole, repeat, disagreement, silence, or lost message that nobody was told of.
"""
