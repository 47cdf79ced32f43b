"""Names longer than the kernel takes, alike in their first fifteen letters."""

from emulator import Topo


class LongNames(Topo):
    def build(self):
        self.addSwitch("aggregation-switch-1")
        self.addSwitch("aggregation-switch-2")
        self.addLink("aggregation-switch-1", "aggregation-switch-2")
        for number in (1, 2):
            host = self.addHost(f"measurement-client-{number}")
            self.addLink(host, f"aggregation-switch-{number}", intfName2="uplink")
        # This one is the short name of nothing, and stays as it is.
        self.addSwitch("lo")
        self.addLink("lo", "aggregation-switch-1")
