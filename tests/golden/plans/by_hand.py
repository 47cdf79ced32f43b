"""Everything that can be written by hand: ports, names, addresses, MTU; and what means nothing."""

from emulator import Topo


class ByHand(Topo):
    def build(self):
        self.addHost("h1", mac="00:00:00:00:00:01")
        self.addHost("h2", ip="10.0.0.50/8")
        self.addHost("h3")
        self.addHost("h10", ip=None)
        self.addSwitch("s1", dpid="1", stp=True, failMode=None)
        self.addLink("h1", "s1", port2=7, bw=None, delay="0ms", loss=0, use_htb=True)
        self.addLink("h2", "s1", intfName1="uplink", intfName2="to-h2", addr1="02-AB-00-00-00-01")
        self.addLink("h3", "s1", mtu=9000, params1={"mac": "06:00:00:00:00:01"})
        self.addLink("h3", "h10", params1={"ip": "10.1.0.1/30"}, params2={"ip": "10.1.0.2/30"})
        self.addLink("h10", "s1")
