"""Two VNFs on XDP and one in the kernel between two hosts; a third pair that has no XDP near."""

from itertools import pairwise

from emulator import Topo


class XdpChain(Topo):
    def build(self):
        for name in ("client", "server", "h1", "h2"):
            self.addHost(name)
        self.addVNF("fwd", "forward", dataplane="xdp")
        self.addVNF("bridge", "forward")
        self.addVNF("tap", "sampler", dataplane="xdp", every=7, collector=3)
        for a, b in pairwise(("client", "fwd", "bridge", "tap", "server")):
            self.addLink(a, b)
        self.addLink("h1", "h2")
