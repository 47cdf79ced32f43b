"""Mininet's further kinds of nodes: Linux bridges, and the way to the outside."""

from __future__ import annotations

from typing import Any

from emulator.compat.nodes import Node
from emulator.compat.switches import LinuxBridge as LinuxBridge
from emulator.compat.unsupported import UnsupportedError, refuse_names
from emulator.topo import Topo


class NAT(Node):
    """A node that leads hosts to the outside, under the machine's own address.

    It is a router in the lab, with a link of its own to the machine, whatever ``inNamespace`` is.
    """

    own_parameters = (*Node.own_parameters, "subnet", "localIntf", "flush")

    def __init__(
        self,
        name: str,
        subnet: str = "10.0/8",
        localIntf: Any = None,
        flush: bool = False,
        inNamespace: bool = False,
        **params: Any,
    ) -> None:
        if localIntf is not None:
            raise UnsupportedError(
                "the local interface of a NAT cannot be chosen",
                where=name,
                hint="it is the one that is linked to a switch",
            )
        self.subnet, self.localIntf, self.flush = subnet, localIntf, flush
        super().__init__(name, **params)

    def declare(self, topo: Topo) -> None:
        topo.addNAT(self.name, connect=False, ip=None, **self.engine_options())


__getattr__ = refuse_names("mininet.nodelib")
