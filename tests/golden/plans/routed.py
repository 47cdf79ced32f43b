"""Three networks around one router, addresses and routes written by hand."""

from emulator import Topo


class Routed(Topo):
    def build(self):
        router = self.addRouter("r0", ip="192.168.1.1/24")
        for number, (address, network) in enumerate(
            (("192.168.1.1", 24), ("172.16.0.1", 12), ("10.0.0.1", 8)), start=1
        ):
            switch = self.addSwitch(f"s{number}")
            self.addLink(
                switch,
                router,
                intfName2=f"r0-eth{number}",
                params2={"ip": f"{address}/{network}"},
            )
        for name, ip, route in (
            ("h1", "192.168.1.100/24", "via 192.168.1.1"),
            ("h2", "172.16.0.100/12", "172.16.0.1"),
            ("h3", "10.0.0.100", "default via 10.0.0.1"),
        ):
            self.addHost(name, ip=ip, defaultRoute=route)
            self.addLink(name, f"s{name[1]}")
