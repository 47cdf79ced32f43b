"""Other emulators' topologies and scripts: their names, on our engine."""
