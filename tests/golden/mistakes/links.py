"""Links that cannot be."""

from emulator import Topo


class TCLink:
    pass


class MyLink:
    pass


class Links(Topo):
    def build(self):
        for name in ("h1", "h2"):
            self.addHost(name)
        self.addLink("h1", "h1")
        self.addLink("h1", "h2", port1="a")
        self.addLink("h1", "h2", key=1)
        self.addLink("h1", "h2", intfName1="h1-eth2")
        self.addLink("h1", "h2", intfName1="no good")
        self.addLink("h1", "h2", mtu=20)
        self.addLink("h1", "h2", params1="10.0.0.1/8")
        self.addLink("h1", "h2", cls=TCLink, bw=10, delay="5ms", loss="0%", use_htb=True)
        self.addLink("h1", "h2", cls=MyLink)
        self.addLink("h1", "h2", intfname1="x", colour="red")
        self.addLink("h1", "h3")
        self.addHost("h3")
        self.addLink("h3", "host1")
