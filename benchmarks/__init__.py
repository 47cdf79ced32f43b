"""The emulator measured beside its peers; ``run.py`` is the way in, README.md says what is what."""
