r"""Two departments on the same two switches: VLANs, a trunk, and a router between them.

    h1 (VLAN 10) ---- s1 ======== s2 ---- h3 (VLAN 10)
    h2 (VLAN 20) ----/  \ trunk    \----- h4 (VLAN 20)
                     |  |
                      r1

Each port towards a host carries one VLAN, without tags. The trunk carries both, and a tag tells
them apart. What h1 sends to everybody reaches h3 and the router, and neither h2 nor h4; so the
departments have networks of their own, 10.0.10.0/24 and 10.0.20.0/24, and only the router leads
from one to the other:

    vnf run topologies/vlans.py
    > pingall                             all reach each other
    > h1 ping -c1 h3                      ttl=64: over the trunk, beside the router
    > h1 ping -c1 h2                      ttl=63: by the router, though at the same switch
    > s1 macs                             who is where, and in which VLAN
    > link r1 s1 down
    > pingall                             each department by itself

``kind`` is the switches': ``xdp``, or ``ovs`` where Open vSwitch is installed. There the trunk can
be watched too, with its tags, while h1 pings h3: ``capture s1-eth1``.
"""

from emulator import Topo


class Vlans(Topo):
    """Two VLANs on two switches, a trunk between these, and a router between the VLANs."""

    def build(self, kind: str = "xdp") -> None:
        s1, s2 = (self.addSwitch(name, kind=kind) for name in ("s1", "s2"))
        trunk = {"trunk": [10, 20]}
        self.addLink(s1, s2, params1=trunk, params2=trunk)
        router = self.addRouter("r1")
        for vlan in (10, 20):
            self.addLink(router, s1, params1={"ip": f"10.0.{vlan}.254/24"}, params2={"vlan": vlan})
        for number, (switch, vlan) in enumerate([(s1, 10), (s1, 20), (s2, 10), (s2, 20)], 1):
            host = self.addHost(
                f"h{number}", ip=f"10.0.{vlan}.{number}/24", defaultRoute=f"via 10.0.{vlan}.254"
            )
            self.addLink(host, switch, params2={"vlan": vlan})


topos = {"vlans": Vlans}
