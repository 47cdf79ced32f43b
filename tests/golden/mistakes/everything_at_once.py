"""One of each, to see them all reported together."""

from emulator import Topo


class EverythingAtOnce(Topo):
    def build(self):
        self.addHost("h1")
        self.addHost("h1", ip="10.0.0.9/8")
        self.addHost("2nd")
        self.addHost("h3", ip="10.0.0.300/8")
        self.addHost("h4", ip="10.0.0.1/8")
        self.addSwitch("s1")
        self.addVNF("fw", "frward")
        self.addVNF("tap", "sampler", dataplane="xdp", every=0, evry=3)
        self.addVNF("end", "forward")
        self.addLink("h1", "s1")
        self.addLink("h4", "s1", port2=1)
        self.addLink("h1", "s9")
        self.addLink("end", "s1")
        self.addLink("h3", "s1", delay="5ms", loss=101)
