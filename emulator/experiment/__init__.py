"""What to measure and what is kept of it: cases, the bench, the bundle, tables and pictures."""
