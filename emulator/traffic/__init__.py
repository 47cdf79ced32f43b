"""Traffic between nodes: the probe, and adapters for well-known tools."""
