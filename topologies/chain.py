"""A client, a chain of VNFs and a server: what does a network function cost?

    client --- vnf1 --- vnf2 ... vnfN --- server

Every frame between client and server passes each VNF in turn. Which VNF it is, on which data
plane it runs and how many of them there are can be set, and that is the whole experiment:

    vnf run   topologies/chain.py --set dataplane=kernel
    vnf bench topologies/chain.py --vary dataplane=none,kernel,xdp
    vnf bench topologies/chain.py --vary length=1,2,4,8

``dataplane=none`` leaves the VNFs out and joins client and server directly: what remains is the
floor of the bench itself, and a VNF's own share is what it adds to that.

    vnf bench topologies/chain.py --vary dataplane=none,xdp,afxdp,dpdk --core 0 --set cores=1
    vnf bench topologies/chain.py --set dataplane=dpdk --vary 'idle=poll;yield;spin:20us,wait'

``cores``, ``idle`` and ``driver`` are for data planes that are processes: where one runs, what it
does while no frame comes, and how it gets at its ports. The two inside the kernel have no process,
and are left as they are. ``kind=memif`` joins DPDK VNFs to each other by memory that they share:

    vnf bench topologies/chain.py --set dataplane=dpdk --set length=4 --vary kind=veth,memif

``runtime=docker`` puts each VNF into a container of its own, and what that costs is one more
comparison; client and server stay as they are:

    vnf bench topologies/chain.py --vary runtime=namespace,docker --vary dataplane=kernel,xdp,afxdp

``mtu`` is that of the links, for frames of more than 1518 bytes:

    vnf bench topologies/chain.py latency --set mtu=2500 --size 64,1518,2500

Other settings are parameters of the VNF: ``--set vnf=drop --set every=100`` loses every hundredth
frame. With ``runtime=docker`` they may be options of its container: ``--set memory=256m``.
"""

from typing import Any

from emulator import Topo, UsageError


class Chain(Topo):
    """client - vnf1 - ... - server, the VNFs and their data plane as parameters."""

    def build(
        self,
        dataplane: str = "xdp",
        vnf: str = "forward",
        length: int = 1,
        cores: int | str | None = None,
        idle: str | None = None,
        driver: str | None = None,
        kind: str = "veth",
        mtu: int | None = None,
        runtime: str = "namespace",
        **parameters: Any,
    ) -> None:
        if length < 0:
            raise UsageError(
                f"there is no chain of {length} VNFs", where="length", hint="write length=4"
            )
        if dataplane not in ("kernel", "xdp"):
            parameters |= {"cores": cores, "idle": idle, "driver": driver}
        before = self.addHost("client")
        server = self.addHost("server")
        for number in range(1, length + 1 if dataplane != "none" else 1):
            name = self.addVNF(
                f"vnf{number}", vnf, dataplane=dataplane, runtime=runtime, **parameters
            )
            self.addLink(before, name, kind=kind if number > 1 else "veth", mtu=mtu)
            before = name
        self.addLink(before, server, mtu=mtu)


topos = {"chain": Chain}
