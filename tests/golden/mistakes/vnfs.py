"""VNFs that do not exist, are not ready yet, or are used wrongly."""

from emulator import Topo


class Vnfs(Topo):
    def build(self):
        wrong = (
            {"vnf": "firewall"},
            {"vnf": "forward", "dataplane": "xpd"},
            {"vnf": "forward", "dataplane": "python"},
            {"vnf": "sampler", "dataplane": "dpdk", "collector": 1},
            {"vnf": "sampler", "dataplane": "kernel", "collector": 1},
            {"vnf": "sampler", "dataplane": "xdp"},
            {"vnf": "sampler", "dataplane": "xdp", "collector": -1, "every": 65536},
            {"vnf": "sampler", "dataplane": "xdp", "collector": 1.5, "keep": 2, "mark": 1},
            {"vnf": "sampler", "dataplane": "xdp", "collector": 1, "mode": "tail"},
            {"vnf": "forward", "runtime": "docker", "cores": [1], "idle": "poll"},
        )
        for number, options in enumerate(wrong, start=1):
            name = self.addVNF(f"v{number}", **options)
            for port in (0, 1):
                self.addLink(name, self.addHost(f"h{number}x{port}"))
        for number, links in enumerate((0, 1, 3)):
            name = self.addVNF(f"w{number}", "forward")
            for port in range(links):
                self.addLink(name, self.addHost(f"g{number}x{port}"))
