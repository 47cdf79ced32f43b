"""Mininet's further kinds of nodes: Linux bridges, and the way to the outside."""

from __future__ import annotations

from typing import Any

from emulator.compat.nodes import Node
from emulator.compat.switches import LinuxBridge as LinuxBridge
from emulator.compat.unsupported import refuse_names
from emulator.kernel.nft import masquerade
from emulator.topo import Topo


class NAT(Node):
    """A node that leads hosts to the outside, under an address of its own.

    It is a router in the lab, with a link of its own to the machine, whatever ``inNamespace`` is;
    or with ``inetIntf``, one whose way out is an interface in the lab.

    Attributes:
        subnet, localIntf, flush: accepted as Mininet's; everything that is not the way out is
            local.
        inetIntf: the interface by which it leads out; None for the link to the machine.
    """

    own_parameters = (*Node.own_parameters, "subnet", "localIntf", "inetIntf", "flush")

    def __init__(
        self,
        name: str,
        subnet: str = "10.0/8",
        localIntf: Any = None,
        flush: bool = False,
        inNamespace: bool = False,
        inetIntf: Any = None,
        **params: Any,
    ) -> None:
        self.subnet, self.localIntf, self.flush = subnet, localIntf, flush
        self.inetIntf = inetIntf
        super().__init__(name, **params)
        if inetIntf is not None:
            self.once_alive(self._hide_behind)

    def declare(self, topo: Topo) -> None:
        if self.inetIntf is None:
            topo.addNAT(self.name, connect=False, ip=None, **self.engine_options())
        else:
            topo.addRouter(self.name, ip=None, **self.engine_options())

    def _hide_behind(self) -> None:
        """Gives what leaves by the interface that leads out the address of that."""
        way_out = self._intf(self.inetIntf).kernel_name()
        self.living().netns.run(masquerade, "nat", where=self.name, leaving_by=way_out)


__getattr__ = refuse_names("mininet.nodelib")
