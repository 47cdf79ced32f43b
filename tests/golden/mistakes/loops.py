"""Loops of switches, of switches and VNFs, and of VNFs alone; one that the protocol keeps open."""

from emulator import Topo


class Loops(Topo):
    def build(self):
        for number in range(1, 4):
            self.addSwitch(f"s{number}")
        self.ring("s1", "s2", "s3")
        self.addSwitch("a1", stp=True)
        self.addSwitch("a2", stp=True)
        self.addVNF("va", "forward")
        self.ring("a1", "va", "a2")
        self.addSwitch("b1")
        self.addSwitch("b2", stp=True)
        self.addVNF("vb", "forward", dataplane="xdp")
        self.ring("b1", "vb", "b2")
        self.addVNF("c1", "forward")
        self.addVNF("c2", "forward")
        self.addLink("c1", "c2")
        self.addLink("c1", "c2")
        # A loop of VNFs stays one when it hangs on a switch that runs the protocol.
        for number in range(1, 4):
            self.addVNF(f"d{number}", "hub")
        self.ring("d1", "d2", "d3")
        self.addLink("d1", "a1")

    def ring(self, *nodes):
        for a, b in zip(nodes, (*nodes[1:], nodes[0]), strict=True):
            self.addLink(a, b)
