"""The ``vnf`` command and its interactive shell; a thin layer that holds no logic of its own."""
