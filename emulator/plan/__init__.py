"""Topology in, plan out: pure, without root and without touching the kernel."""
