"""What Mininet's users ask for and cannot have yet."""

from emulator import Topo


class OVSKernelSwitch:
    pass


class LinuxBridge:
    pass


class CPULimitedHost:
    pass


class Firewall:
    pass


class NotAvailable(Topo):
    def build(self):
        self.addSwitch("s1", cls=OVSKernelSwitch, failMode="standalone", protocols="OpenFlow13")
        self.addSwitch("s2", cls=LinuxBridge, stp=True, dpid="2", inNamespace=True)
        self.addSwitch("s3", ip="10.0.0.1", stpp=True)
        self.addHost("h1", cls=CPULimitedHost, cpu=0.5, sched="cfs")
        self.addHost("h2", cls=CPULimitedHost, cpu=None)
        self.addHost("h3", cls=Firewall, rules=3)
        self.addHost("h4", dimage="debian", runtime="docker")
        self.addHost("h5", default_route="via 10.0.0.1", inNamespace=False)
        self.addHost("h6", privateDirs=["/var/run"])
