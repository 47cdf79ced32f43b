"""Changing the addresses and routes of a node while it runs, by Mininet's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from emulator.errors import LabError, UsageError
from emulator.kernel.addressing import Addressing, Neighbour, Route
from emulator.plan.addresses import AddressMistake, read_gateway, read_ipv4, read_ipv6, read_mac
from emulator.plan.same_address import others_with
from emulator.warned import warn

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import InterfacePlan, NodePlan


P = ParamSpec("P")
T = TypeVar("T")


def _undisturbed(
    method: Callable[Concatenate[AddressedNode, P], T],
) -> Callable[Concatenate[AddressedNode, P], T]:
    """Have a method run while nobody else changes the lab, whose plan it is to write."""

    @wraps(method)
    def run(node: AddressedNode, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with node._lab.lock:
            return method(node, *args, **kwargs)

    return run


class AddressedNode:
    """The part of a node that is about its addresses, neighbours and routes."""

    plan: NodePlan
    netns: Netns
    _lab: Lab

    @_undisturbed
    def setIP(self, ip: str | None, prefixLen: int = 8, intf: str | None = None) -> str | None:
        """Gives an interface another IPv4 address, in place of all that it has.

        One that another node has already is warned of, and given.

        Args:
            ip: with or without a prefix length; None for no address.
            prefixLen: of an address without one.
            intf: the interface; the node's first one by default.

        Returns:
            The address with its prefix length.

        Raises:
            UsageError: there is no such interface, or that is no address.
        """
        interface = self._changeable(intf)
        with self._reading():
            address = read_ipv4(ip, prefixLen)
        self._exchange(interface, address, version=4)
        others = tuple(each for each in interface.more_addresses if ":" in each)
        self._note(interface, ipv4=address, more_addresses=others)
        self._warn_of_others(interface, address)
        return address

    @_undisturbed
    def setIPv6(self, ip: str | None, prefixLen: int = 64, intf: str | None = None) -> str | None:
        """Gives an interface another IPv6 address, in place of all that it has; as ``setIP``.

        Raises:
            UsageError: also when the lab has no IPv6.
        """
        interface = self._changeable(intf)
        if not self._lab.plan.ipv6:
            raise self._mistake("the lab has no IPv6", "start it with ipv6=True")
        with self._reading():
            address = read_ipv6(f"{ip}/{prefixLen}" if ip and "/" not in str(ip) else ip)
        self._exchange(interface, address, version=6)
        others = tuple(each for each in interface.more_addresses if ":" not in each)
        self._note(interface, ipv6=address, more_addresses=others)
        self._warn_of_others(interface, address)
        return address

    @_undisturbed
    def setMAC(self, mac: str, intf: str | None = None) -> str:
        """Gives an interface, the node's first one by default, another MAC address.

        Returns:
            The address, in lower case.

        Raises:
            UsageError: there is no such interface, or that is no address of one.
        """
        interface = self._changeable(intf)
        with self._reading():
            found = read_mac(mac)
        with self._netlink() as netlink:
            netlink.set_mac(self._index(netlink, interface), found, where=interface.name)
            netlink.commit()
        self._note(interface, mac=found)
        return found

    @_undisturbed
    def setARP(self, ip: str, mac: str, intf: str | None = None) -> None:
        """Has the node know the MAC address of a neighbour, so that it never asks for it.

        Args:
            intf: the interface that leads there; by default the one in whose network it is.

        Raises:
            UsageError: no interface leads there, or that is no address.
        """
        self._lab.ensure_changeable(self.plan.name)
        with self._reading():
            neighbour = read_mac(mac)
        address = self._address(ip)
        interface = self._changeable(intf) if intf is not None else self._towards(address)
        with self._netlink() as netlink:
            index = self._index(netlink, interface)
            netlink.add_neighbour(index, address, neighbour, where=interface.name)
            netlink.commit()

    @_undisturbed
    def setDefaultRoute(self, route: str | None = None) -> None:
        """Where the node sends what is for no network of its own.

        Args:
            route: ``"via 10.0.0.254"``, ``"dev h1-eth0 via 10.0.0.254"``, or the name of an
                interface, on whose link everything is; the first one by default.

        Raises:
            UsageError: there is no such interface, or no address in it.
        """
        interface, gateway = self._way(route)
        with self._netlink() as netlink:
            index = self._index(netlink, interface)
            for each in netlink.routes():
                if each.to == "default":
                    netlink.delete_route(each, where=self.plan.name)
            netlink.add_route(Route("default", gateway, index), where=self.plan.name)
            netlink.commit()
        self._lab.note_node(self.plan.model_copy(update={"default_route": gateway}))

    @_undisturbed
    def setHostRoute(self, ip: str, intf: str) -> None:
        """Has the node reach an address, or a network, on the link of an interface.

        Raises:
            UsageError: there is no such interface, or that is no address.
        """
        interface = self._changeable(intf)
        try:
            network = str(ip_network(ip, strict=False))
        except ValueError:
            raise self._mistake(f"{ip!r} is not an address", 'write it as "10.0.1.9"') from None
        with self._netlink() as netlink:
            index = self._index(netlink, interface)
            netlink.add_route(Route(network, None, index), where=interface.name)
            netlink.commit()

    def _way(self, route: str | None) -> tuple[InterfacePlan, str | None]:
        """The interface and the gateway, if there is one, that a default route names."""
        words = [word for word in (route or "").split() if word != "default"]
        names = {words[at]: words[at + 1] for at in range(0, len(words) - 1, 2)}
        if len(words) == 1:
            names = {"via" if _is_address(words[0]) else "dev": words[0]}
        elif len(words) != 2 * len(names) or names.keys() - {"via", "dev"}:
            text = f"{route!r} is not a default route"
            raise self._mistake(text, 'write "via 10.0.0.254", or the name of an interface')
        gateway = None
        if "via" in names:
            with self._reading():
                gateway = read_gateway(names["via"])
            if "dev" not in names:
                self._lab.ensure_changeable(self.plan.name)
                return self._towards(gateway), gateway
        return self._changeable(names.get("dev")), gateway

    def _changeable(self, intf: str | None) -> InterfacePlan:
        self._lab.ensure_changeable(self.plan.name)
        if intf is not None:
            return self.plan.interface(str(intf))
        for interface in self.plan.interfaces:
            if interface.memif is None:
                return interface
        raise self._mistake("the node has no interface in the kernel", "link it first")

    def _towards(self, address: str) -> InterfacePlan:
        for interface in self.plan.interfaces:
            if any(_holds(own, address) for own in interface.addresses):
                return interface
        networks = [f"{i.name} {own}" for i in self.plan.interfaces for own in i.addresses]
        raise self._mistake(
            f"{address} is in no network of the node",
            f"it has {', '.join(networks) or 'no address'}",
        )

    def _address(self, text: str) -> str:
        try:
            return str(ip_address(text))
        except ValueError:
            raise self._mistake(f"{text!r} is not an address", 'write "10.0.0.9"') from None

    def _exchange(self, interface: InterfacePlan, address: str | None, *, version: int) -> None:
        """Take an interface's addresses of one kind away, and give it another one."""
        where = f"{self.plan.name} {interface.name}"
        with self._netlink() as netlink:
            index = self._index(netlink, interface)
            for each in netlink.addresses(index):
                if ip_interface(each).version == version and each != address:
                    netlink.delete_address(index, each, where=where)
            if address is not None:
                netlink.add_address(index, address, where=where)
                gateway = self.plan.default_route if version == 4 else self.plan.default_route_ipv6
                # The kernel has dropped it with the address that it went by.
                if gateway is not None and _holds(address, gateway):
                    netlink.add_default_route(gateway, where=self.plan.name)
            netlink.commit()

    def _note(self, interface: InterfacePlan, **changes: object) -> None:
        changed = interface.model_copy(update=changes)
        interfaces = [changed if i.name == interface.name else i for i in self.plan.interfaces]
        fields: dict[str, object] = {"interfaces": tuple(interfaces)}
        for name in ("default_route", "default_route_ipv6"):
            gateway = getattr(self.plan, name)
            own = [address for each in interfaces for address in each.addresses]
            if gateway is not None and not any(_holds(address, gateway) for address in own):
                fields[name] = None
        self._lab.note_node(self.plan.model_copy(update=fields))

    def _warn_of_others(self, interface: InterfacePlan, address: str | None) -> None:
        if address is None:
            return
        bare = address.partition("/")[0]
        others = others_with(self._lab.plan, self.plan.name, interface.name, bare)
        if others:
            warn(f"{self.plan.name} has the address {bare} now, as has {', '.join(others)}")

    def _netlink(self) -> Addressing:
        return Addressing.inside(self.netns)

    def _index(self, netlink: Addressing, interface: InterfacePlan) -> int:
        for state in netlink.links():
            if state.name == interface.kernel_name:
                return state.index
        raise LabError("the interface is gone", where=f"{self.plan.name} {interface.name}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except AddressMistake as mistake:
            raise self._mistake(str(mistake), mistake.hint) from None

    def _mistake(self, message: str, hint: str) -> UsageError:
        return UsageError(message, where=self.plan.name, hint=hint)


def drop_default_route(netns: Netns, gateway: str) -> None:
    """Takes the default route through a gateway from a node, if it has it."""
    with Addressing.inside(netns) as netlink:
        for route in netlink.routes():
            if route.to in ("default", "::/0") and route.gateway == gateway:
                netlink.delete_route(route, where=f"default route via {gateway}")
        netlink.commit()


def set_static_arp(nodes: Iterable[NodePlan], namespaces: Mapping[str, Netns]) -> None:
    """Has nodes know the MAC addresses of all others in their networks.

    Args:
        nodes: all of the lab.
        namespaces: by the nodes' names, of those that are to know.
    """
    known: dict[object, dict[str, Neighbour]] = {}
    wanted: dict[str, list[tuple[InterfacePlan, object]]] = {}
    for node in nodes:
        for interface in node.interfaces:
            if interface.external is not None:
                # Who is on its link is not known here.
                continue
            for own in interface.addresses:
                found = ip_interface(own)
                of_network = known.setdefault(found.network, {})
                of_network[f"{found.ip} {interface.mac}"] = Neighbour.of(
                    str(found.ip), interface.mac
                )
                if node.name in namespaces and node.kind != "switch":
                    wanted.setdefault(node.name, []).append((interface, found.network))
    sockets = Addressing.inside_each([namespaces[name] for name in wanted])
    with ExitStack() as stack:
        for each in sockets:
            stack.callback(each.close)
        for (name, networks), netlink in zip(wanted.items(), sockets, strict=True):
            indexes = {state.name: state.index for state in netlink.links()}
            for interface, network in networks:
                index = indexes.get(interface.kernel_name)
                if index is not None:
                    others = [
                        neighbour
                        for key, neighbour in known[network].items()
                        if not key.endswith(interface.mac)
                    ]
                    where = f"{name} {interface.name}"
                    netlink.add_neighbours(index, others, where=where)
            netlink.commit()


def _holds(own: str, address: str) -> bool:
    return ip_address(address) in ip_interface(own).network


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
