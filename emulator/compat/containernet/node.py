"""Containernet's nodes: Mininet's, and hosts in containers."""

from emulator.compat.docker_hosts import Docker as Docker
from emulator.compat.mininet.node import *  # noqa: F403 - it is Mininet's module and a class more
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet.node")
