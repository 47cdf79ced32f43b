"""One switch with its ports in reverse: a port number is a choice, not a fact of nature.

    h1 is on s1-eth3, h2 on s1-eth2, h3 on s1-eth1

Start it with ``vnf run --topo reversed,3`` and compare ``ports`` with those of ``single,3``.
Whatever is programmed by port number must read the numbers, never guess them from the names.
"""

from emulator import Topo


class Reversed(Topo):
    """k hosts on switch s1, the first on its last port."""

    def build(self, k: int = 2) -> None:
        switch = self.addSwitch("s1")
        for number in range(1, k + 1):
            host = self.addHost(f"h{number}")
            self.addLink(host, switch, port1=0, port2=k - number + 1)


topos = {"reversed": Reversed}
