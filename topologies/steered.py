r"""Some traffic takes a detour: a chain of VNFs beside a switch, for UDP port 9999 only.

    client ------ s1 ------ server
                 || ||
                fw   nc

Client and server are linked to the switch, and so are two VNFs, each by two links: in by the first,
out by the second. Nothing is flooded to such a VNF and nobody learns that anybody is behind it, so
by itself it sees no frame at all, and pings between client and server know nothing of it. The chain
``detour`` has the switch send what matches to ``fw``, from there to ``nc``, and then on:

    vnf run topologies/steered.py
    > server python3 -m http.server 8000 &
    > chain detour                        what it has steered, leg by leg
    > fw stats                            and what the VNF has seen
    > chain set detour via=nc             a shorter one, while packets pass
    > chain set detour via=               none: a bypass
    > chain set detour via=nc,fw          the other order

``match`` says which traffic, in the words of "Matches" in the documentation; ``both_ways`` has
the answers come back by the chain as well. ``kind`` is the switch's: ``bridge``, ``ovs`` and
``xdp`` steer by different means and do the same:

    vnf run topologies/steered.py --set kind=ovs --set match="udp dport 9999; tcp dport 8000"

What does the detour cost? Compare the same packets with and without it: the probe sends UDP to port
9999.

    vnf bench topologies/steered.py latency --from client --to server --vary members=none,fw,fw+nc
"""

from typing import Any

from emulator import Topo


class Steered(Topo):
    """client and server at a switch with two VNFs beside it, and a chain through these."""

    def build(
        self,
        dataplane: str = "xdp",
        vnf: str = "count",
        kind: str = "bridge",
        match: str = "udp dport 9999",
        members: str = "fw+nc",
        both_ways: bool = False,
        **parameters: Any,
    ) -> None:
        switch = self.addSwitch("s1", kind=kind)
        client, server = self.addHost("client"), self.addHost("server")
        self.addLink(client, switch)
        self.addLink(server, switch)
        for name in ("fw", "nc"):
            self.addVNF(name, vnf, dataplane=dataplane, **parameters)
            self.addLink(name, switch)
            self.addLink(name, switch)
        via = [] if members == "none" else members.split("+")
        self.addChain("detour", client, server, via, match, both_ways=both_ways)


topos = {"steered": Steered}
