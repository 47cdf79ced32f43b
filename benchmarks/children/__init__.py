"""Programs that measure one thing in a fresh process of their own and print it as JSON."""
