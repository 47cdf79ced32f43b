"""The way from one node to another: which interface a packet leaves by, and to which MAC address.

The probe sends Ethernet frames, so it has to know what the kernel would have looked up for it.
"""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Protocol

from emulator.errors import MeasurementError
from emulator.kernel.netns import Netns
from emulator.plan.model import InterfacePlan, NodePlan

_DISCARD_PORT = 9
_ANSWER_WITHIN_S = 3.0
_ASK_AGAIN_S = 1.0
_LOOK_EVERY_S = 0.002
_STATE_FAILED, _STATE_INCOMPLETE = 0x20, 0x01


class ProbeNode(Protocol):
    """What the probe needs of a node; every ``emulator.network.Node`` has it."""

    @property
    def name(self) -> str: ...

    @property
    def plan(self) -> NodePlan: ...

    @property
    def netns(self) -> Netns: ...

    def popen(self, args: list[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """Start a program inside the node, as ``subprocess.Popen`` does."""
        ...

    def far_end(self, kernel_name: str) -> tuple[Netns, str]:
        """The namespace and the kernel name of the other end of an interface's link."""
        ...


@dataclass(frozen=True)
class NetworkPath:
    """How packets get from a source to a destination.

    Interfaces are named as the kernel names them; ``next_hop_mac`` is that of the first node on the
    way that looks at IP, which is the destination itself where no router lies between.
    """

    source_address: str
    source_mac: str
    source_interface: str
    source_ifindex: int
    next_hop_mac: str
    destination_address: str
    destination_interface: str
    destination_ifindex: int
    mtu_bytes: int


def resolve_path(source: ProbeNode, destination: ProbeNode) -> NetworkPath:
    """Ask the source's kernel for the way, and the network for the next hop's MAC address.

    Raises:
        MeasurementError: there is no address, no route, an interface is down, or nobody answers.
    """
    target = _addressed_interface(destination)
    address = _address(target)
    end = destination.netns.run(_link, target.kernel_name, destination.name)
    route = source.netns.run(_route, source.name, destination.name, address)
    near = source.netns.run(_link_by_index, route.ifindex, source.name)
    next_hop_mac = source.netns.run(_neighbour, source.name, route, address)
    return NetworkPath(
        source_address=route.source,
        source_mac=near.mac,
        source_interface=near.name,
        source_ifindex=near.index,
        next_hop_mac=next_hop_mac,
        destination_address=address,
        destination_interface=end.name,
        destination_ifindex=end.index,
        mtu_bytes=min(near.mtu, end.mtu),
    )


@dataclass(frozen=True)
class _Route:
    ifindex: int
    next_hop: str
    source: str


@dataclass(frozen=True)
class _Link:
    index: int
    name: str
    mac: str
    mtu: int


def _addressed_interface(node: ProbeNode) -> InterfacePlan:
    for interface in node.plan.interfaces:
        if interface.ipv4:
            return interface
    raise MeasurementError(
        "it has no IPv4 address, so the probe cannot send to it",
        where=node.name,
        hint="probe between hosts, or give it an address",
    )


def _address(interface: InterfacePlan) -> str:
    return (interface.ipv4 or "").partition("/")[0]


def _route(source: str, destination: str, address: str) -> _Route:
    from pyroute2 import IPRoute, NetlinkError

    with IPRoute() as netlink:
        try:
            (answer,) = netlink.route("get", dst=address)
        except NetlinkError as error:
            raise MeasurementError(
                f"no route to {destination} ({address}): {error.args[1]}",
                where=source,
                hint="give the node an address in the same network, or a default route",
            ) from error
    return _Route(
        ifindex=answer.get_attr("RTA_OIF"),
        next_hop=answer.get_attr("RTA_GATEWAY") or address,
        source=answer.get_attr("RTA_PREFSRC"),
    )


def _link(name: str, where: str) -> _Link:
    return _only_up(where, ifname=name)


def _link_by_index(index: int, where: str) -> _Link:
    return _only_up(where, index=index)


def _only_up(where: str, **which: Any) -> _Link:
    from pyroute2 import IPRoute, NetlinkError

    with IPRoute() as netlink:
        try:
            (answer,) = netlink.link("get", **which)
        except NetlinkError as error:
            raise MeasurementError(
                f"its interface is gone: {error.args[1]}", where=where
            ) from error
    name = answer.get_attr("IFLA_IFNAME")
    if answer.get_attr("IFLA_OPERSTATE") not in ("UP", "UNKNOWN"):
        raise MeasurementError("the link is down", where=name, hint="bring it up first")
    return _Link(
        answer["index"], name, answer.get_attr("IFLA_ADDRESS"), answer.get_attr("IFLA_MTU")
    )


def _neighbour(source: str, route: _Route, address: str) -> str:
    """The MAC address of the next hop; the kernel resolves it because we send something there."""
    from pyroute2 import IPRoute

    deadline = time.monotonic() + _ANSWER_WITHIN_S
    ask_at = 0.0
    with IPRoute() as netlink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        while True:
            if time.monotonic() >= ask_at:
                _provoke(datagrams, address)
                ask_at = time.monotonic() + _ASK_AGAIN_S
            for entry in netlink.neigh("dump", ifindex=route.ifindex, dst=route.next_hop):
                mac = entry.get_attr("NDA_LLADDR")
                if mac and not entry["state"] & (_STATE_FAILED | _STATE_INCOMPLETE):
                    return str(mac)
            if time.monotonic() > deadline:
                raise MeasurementError(
                    f"no answer from {route.next_hop}",
                    where=source,
                    hint="check that everything on the way is up and forwards: try a ping",
                )
            time.sleep(_LOOK_EVERY_S)


def _provoke(datagrams: socket.socket, address: str) -> None:
    try:
        datagrams.sendto(b"", (address, _DISCARD_PORT))
    except OSError as error:
        raise MeasurementError(
            f"nothing can be sent to {address}: {error.strerror}", hint="check routes and links"
        ) from error
