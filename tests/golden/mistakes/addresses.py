"""Addresses that no interface can have, or that two would."""

from emulator import Topo


class Addresses(Topo):
    def build(self):
        s1 = self.addSwitch("s1")
        for name, options in (
            ("h1", {"ip": "10.0.0.7/8", "mac": "02:00:00:00:00:07"}),
            ("h2", {"ip": "10.0.0.7", "mac": "02:00:00:00:00:07"}),
            ("h3", {"ip": "10.0.0.0/8"}),
            ("h4", {"ip": "192.168.1.255/24"}),
            ("h5", {"ip": 5}),
            ("h6", {"mac": "01:00:00:00:00:01"}),
            ("h7", {"mac": "nonsense"}),
            ("h8", {"ip": "224.0.0.1/8"}),
            ("h9", {"ipv6": "fd00::9/64"}),
            ("h10", {"defaultRoute": "via 192.168.0.1"}),
            ("h11", {"defaultRoute": "dev h11-eth0"}),
            ("h12", {"defaultRoute": "10.0.0.12"}),
        ):
            self.addHost(name, **options)
            self.addLink(name, s1)
        self.addHost("h13", ip="10.0.0.13/8")
        self.addLink("h13", s1, params1={"ip": "10.0.0.14/8", "gw": "10.0.0.1"})
        self.addHost("h14")
        self.addLink("h14", s1, addr1="02:00:00:00:00:0a", params1={"mac": "02:00:00:00:00:0b"})
