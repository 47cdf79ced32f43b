from emulator import Topo


class Xdp(Topo):
    """Switches that cannot be had so."""

    def build(self):
        s1 = self.addSwitch("s1", kind="xdp", ageing_s="soon")
        s2 = self.addSwitch("s2", kind="xdp", stp=True)
        s3 = self.addSwitch("s3")
        h1, h2, h3 = (self.addHost(name) for name in ("h1", "h2", "h3"))
        self.addLink(s1, s2)
        self.addLink(s2, s3)
        self.addLink(s3, s1)
        self.addLink(h1, s1, mtu=9000)
        self.addLink(h2, s1, params1={"vlan": 10})
        self.addLink(h3, s3, params2={"trunk": [10, 20]})
        self.addLink(h1, s2, params2={"vlan": 4095})
        self.addLink(h2, s2, params2={"trunk": "10"})
        self.addLink(h3, s2, params2={"trunk": [10, "all"], "vlna": 3})


topos = {"xdp": Xdp}
