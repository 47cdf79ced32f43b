r"""Two clients and two servers that share one link: the classic bottleneck.

    client1                                          server1
           \                                        /
            s1 --- vnf1 ---(bottleneck)--- vnf2 --- s2
           /                                        \
    client2                                          server2

Each switch has one VNF beside it, at the end of the link that all traffic between the two sides
must pass. Start it with ``vnf run --topo dumbbell`` and load the bottleneck from both clients,
``iperf client1 server1`` in its shell and ``vnf exec LAB client2 ping 10.0.0.4`` in another
terminal: what one pair sends, the other pair feels as delay. ``dataplane`` and ``vnf`` can be
set as in ``chain``; ``dataplane=none`` joins the two switches directly.
"""

from typing import Any

from emulator import Topo


class Dumbbell(Topo):
    """Two clients and two servers with one link between, and a VNF at each of its ends."""

    def build(self, dataplane: str = "xdp", vnf: str = "forward", **parameters: Any) -> None:
        for side, names in (("1", ("client1", "client2")), ("2", ("server1", "server2"))):
            switch = self.addSwitch(f"s{side}")
            for name in names:
                self.addLink(self.addHost(name), switch)
            if dataplane != "none":
                function = self.addVNF(f"vnf{side}", vnf, dataplane=dataplane, **parameters)
                self.addLink(switch, function)
        self.addLink(*(("s1", "s2") if dataplane == "none" else ("vnf1", "vnf2")))


topos = {"dumbbell": Dumbbell}
