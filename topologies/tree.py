r"""A tree of switches with the hosts as its leaves: few links, and a root that all depend on.

              s1
           /      \
         s2        s5          tree,depth=3,fanout=2
        /  \      /  \
      s3    s4   s6   s7
      /\    /\   /\   /\
     h1 h2 ...         h8

Start it with ``vnf run --topo tree,3,2``. Between h1 and h2 lies one switch, between h1 and h8
lie five. Take the root away with ``link s1 s2 down`` and ``pingall``: the network falls in two
halves, which is why real ones have more than one root (see ``torus`` for what that brings).
"""

from emulator import Topo


class Tree(Topo):
    """A tree of switches, depth levels deep, each with fanout children."""

    def build(self, depth: int = 1, fanout: int = 2) -> None:
        self._switches = self._hosts = 0
        self._grow(depth, fanout)

    def _grow(self, depth: int, fanout: int) -> str:
        if depth == 0:
            self._hosts += 1
            return self.addHost(f"h{self._hosts}")
        self._switches += 1
        switch = self.addSwitch(f"s{self._switches}")
        for _ in range(fanout):
            self.addLink(switch, self._grow(depth - 1, fanout))
        return switch


topos = {"tree": Tree}
