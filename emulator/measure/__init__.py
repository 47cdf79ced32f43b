"""Measures over trials: latency, throughput, cost. Pure: nothing here sends a packet."""
