"""What a plan says of switches and of the controllers that tell them what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emulator.plan.record import Record

SwitchKind = Literal["bridge", "ovs", "xdp"]
FailMode = Literal["secure", "standalone"]
Datapath = Literal["auto", "kernel", "userspace"]
PortType = Literal["system", "afxdp", "afxdp-nonpmd", "dpdk"]
PortDriver = Literal["af_xdp", "af_packet"]
ControllerKind = Literal["learning", "ovs", "remote", "app", "command", "manual", "none"]

PORT_MARK = "{port}"
"""What stands for a controller's port in its command."""


@dataclass(frozen=True, kw_only=True)
class OvsPlan(Record):
    """An Open vSwitch bridge."""

    dpid: str
    """The datapath's identity in OpenFlow: 16 hexadecimal digits."""
    fail_mode: FailMode
    """Without a controller that answers: ``secure`` forwards by the flows there are and nothing
    else, ``standalone`` learns addresses like any other switch."""
    protocols: tuple[str, ...] = ()
    """The versions of OpenFlow that it speaks; none given, all that Open vSwitch does."""
    datapath: Datapath = "auto"
    """``auto``: the kernel's where its module is, or else the one in user space."""
    port_type: PortType = "system"
    """How a datapath in user space reaches its ports: by packet sockets; by XDP sockets, which a
    thread of their own polls (``afxdp``) or the main one does; or by DPDK, which is polled too."""
    driver: PortDriver | None = None
    """DPDK only: its poll mode driver."""
    idle: str | None = None
    """Polled ports only: what the threads do that find no frame, ``poll`` or ``sleep:50us``; the
    same for all bridges of a lab, as are ``cores``."""
    cores: tuple[int, ...] = ()
    """Polled ports only: the CPUs with a thread each; none given, Open vSwitch has one thread."""
    priority: int | None = None
    """In the spanning tree; the lowest is its root."""
    controllers: tuple[str, ...] = ()
    """Names of the controllers that it connects to."""
    reconnect_ms: int = 1000
    """The longest that it waits before it calls a controller again that did not answer."""
    listen_port: int | None = None
    """A TCP port of the fabric at which it listens for OpenFlow itself."""

    @property
    def takes_frames(self) -> bool:
        """Whether XDP takes frames off its ports, before packet sockets see them."""
        return self.port_type in ("afxdp", "afxdp-nonpmd") or self.driver == "af_xdp"


@dataclass(frozen=True, kw_only=True)
class XdpSwitchPlan(Record):
    """Our own learning switch in BPF."""

    ageing_s: float = 300.0
    """So long it remembers where an address was seen last."""


@dataclass(frozen=True, kw_only=True)
class SwitchPlan(Record):
    """What does a switch's work; ``ovs`` and ``xdp`` are given for the kind of that name."""

    kind: SwitchKind = "bridge"
    ovs: OvsPlan | None = None
    xdp: XdpSwitchPlan | None = None


@dataclass(frozen=True, kw_only=True)
class ControllerPlan(Record):
    """A controller of Open vSwitch bridges."""

    kind: ControllerKind
    """``learning``: our own application; ``app``: the user's, both run by os-ken; ``ovs``:
    ovs-testcontroller; ``command``: any program; ``manual``: what somebody starts in the lab, by a
    command beside the switches; ``remote``: what listens on the machine; ``none``: nothing."""
    ip: str = "127.0.0.1"
    """Remote only: an address that the machine reaches, or a name that it knows."""
    port: int = 6653
    """Where it listens: in the lab's fabric, and for a remote one on ``ip``."""
    relay_port: int | None = None
    """Remote only: where the switches find it in the lab's fabric."""
    apps: tuple[str, ...] = ()
    """Apps only: absolute paths of files, or dotted names of modules."""
    options: tuple[str, ...] = ()
    """Further arguments of the program that runs it."""
    command: tuple[str, ...] = ()
    """Commands only: a program and its arguments, in which ``{port}`` stands for the port."""
    folder: str | None = None
    """Commands only: the folder that it works in."""
    wait_s: float = 30.0
    """So long it may take until every one of its switches is connected."""

    @property
    def runs(self) -> tuple[str, ...]:
        """What it runs, to be shown: applications, or a program with its arguments."""
        return self.apps or tuple(word.replace(PORT_MARK, str(self.port)) for word in self.command)
