"""Topologies written for other emulators, taken over as our own."""
