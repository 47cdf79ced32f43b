"""A VNF that forwards IP: its ports have addresses, and one behind another is not a loop."""

from emulator import Topo


class Gateway(Topo):
    def build(self):
        self.addVNF("gw1", "gateway")
        self.addVNF("gw2", "gateway")
        for side, network in (("1", "10.1.0"), ("2", "10.2.0")):
            self.addSwitch(f"s{side}")
            self.addHost(f"h{side}", ip=f"{network}.9/24", defaultRoute=f"via {network}.1")
            self.addLink(f"h{side}", f"s{side}")
            for number in ("1", "2"):
                self.addLink(f"gw{number}", f"s{side}", params1={"ip": f"{network}.{number}/24"})
