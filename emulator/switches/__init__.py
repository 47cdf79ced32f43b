"""The kinds of switches that are more than a Linux bridge, and the controllers of some."""
