"""A row of switches, each with its own hosts: delay grows with the number of hops.

    h1     h2     h3     hk
    |      |      |      |
    s1 --- s2 --- s3 ... sk

Start it with ``vnf run --topo linear,10`` and compare ``h1 ping -c5 h2`` with ``h1 ping -c5 h10``:
every switch on the way adds its share. With more than one host per switch, as in
``linear,3,2``, the hosts are called after their switch: h1s2 is the first host on s2.
"""

from emulator import Topo


class Linear(Topo):
    """k switches in a row with n hosts each."""

    def build(self, k: int = 2, n: int = 1) -> None:
        before = None
        for number in range(1, k + 1):
            switch = self.addSwitch(f"s{number}")
            for position in range(1, n + 1):
                name = f"h{number}" if n == 1 else f"h{position}s{number}"
                self.addLink(self.addHost(name), switch)
            if before is not None:
                self.addLink(switch, before)
            before = switch


topos = {"linear": Linear}
