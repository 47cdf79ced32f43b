r"""Any number of hosts on one switch: one broadcast domain.

    h1   h2   h3   ... hk
      \   |   |        /
       ------ s1 ------

Start it with ``vnf run --topo single,4``. What one host sends to everyone, all others hear:
run ``h1 ping -c1 h2`` while ``h3 tcpdump -n`` watches, and h3 shows h1's ARP request but not its
ping, because the switch has learnt where h2 is by then. Ports of a switch count from 1 and those
of a host from 0, so h3-eth0 is plugged into s1-eth3.
"""

from emulator import Topo


class Single(Topo):
    """k hosts on switch s1."""

    def build(self, k: int = 2) -> None:
        switch = self.addSwitch("s1")
        for number in range(1, k + 1):
            self.addLink(self.addHost(f"h{number}"), switch)


topos = {"single": Single}
