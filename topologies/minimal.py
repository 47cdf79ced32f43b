"""Two hosts on one switch: the smallest network in which a frame has somewhere else to go.

    h1 --- s1 --- h2

Start it with ``vnf run --topo minimal`` and try ``pingall``. Look at ``h1 ip addr``: the address
10.0.0.1 is in the name of the host. The first ping is slower than the rest, because h1 has to
ask by ARP who 10.0.0.2 is, and s1 has to learn behind which port each of the two lives.
"""

from emulator import Topo


class Minimal(Topo):
    """h1 and h2 on switch s1."""

    def build(self) -> None:
        switch = self.addSwitch("s1")
        for name in ("h1", "h2"):
            self.addLink(self.addHost(name), switch)


topos = {"minimal": Minimal}
