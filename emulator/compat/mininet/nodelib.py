"""Mininet's further kinds of nodes: Linux bridges, and the way to the outside."""

from __future__ import annotations

from typing import Any

from emulator.compat.nodes import Node
from emulator.compat.switches import LinuxBridge as LinuxBridge
from emulator.compat.unsupported import refuse_names


class NAT(Node):
    """A node that leads hosts to the outside, under the machine's own address."""

    own_parameters = (*Node.own_parameters, "subnet", "localIntf", "flush")

    def __init__(
        self,
        name: str,
        subnet: str = "10.0/8",
        localIntf: Any = None,
        flush: bool = False,
        **params: Any,
    ) -> None:
        self.subnet, self.localIntf, self.flush = subnet, localIntf, flush
        super().__init__(name, **params)


__getattr__ = refuse_names("mininet.nodelib")
