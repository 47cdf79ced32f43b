"""Trying a VNF on packets, without any network."""
