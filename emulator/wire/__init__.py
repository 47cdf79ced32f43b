"""Wires: links that impair what crosses them, by one specification and more than one mechanism."""
