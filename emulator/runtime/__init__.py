"""What encloses a node."""
