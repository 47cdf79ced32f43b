"""A router that leads out of the lab: one more link, into the namespace that the emulator runs in.

The router hides the lab's addresses behind its own on that link, and the machine hides that one
behind whichever it uses itself. On the machine there is nothing but the end of the link, with an
address, and a table of nftables with one rule, both called after the lab; and it has to forward.

In a lab with IPv6 the same goes for that, where the machine has a way out for it. Only, the machine
is not made to forward it: one that does stops listening to what routers tell it of their network,
and may so lose its own way out.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from pathlib import Path
from typing import Any

from emulator.errors import LabError, MachineError
from emulator.hosts.leftovers import Leftovers, entries_of, netns_name
from emulator.kernel.addressing import Addressing, Route
from emulator.kernel.netns import Netns
from emulator.kernel.nft import dropping_chains, masquerade, remove_table
from emulator.kernel.rtnl import End
from emulator.paths import run_dir
from emulator.plan.model import NodePlan

OUTSIDE = "outside"
"""What the router calls its link out of the lab."""
_POOL = IPv4Network("100.64.0.0/10")
"""Where the links' own addresses are from: no machine's (RFC 6598)."""
_LINK_PREFIXLEN = 30
_TRIES = 4096
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARD_IPV6 = Path("/proc/sys/net/ipv6/conf/all/forwarding")
_UNIQUE_LOCAL = 0xFD
_LINK_PREFIXLEN_IPV6 = 126


class Nat:
    """The way out of one router; ``close`` gives it back.

    Args:
        lab: the lab's id.
        node: the router.
        netns: its namespace.
        index: a number that no interface of the lab has.
        leftovers: where it is noted what is changed of the machine.
        ipv6: whether the lab has IPv6.

    Attributes:
        notes: what the user should know, one line each.

    Raises:
        MachineError: the kernel cannot do it.
        LabError: no address is free for the link.
    """

    def __init__(
        self,
        lab: str,
        node: NodePlan,
        netns: Netns,
        index: int,
        leftovers: Leftovers,
        *,
        ipv6: bool = False,
    ) -> None:
        self.notes: list[str] = []
        self._leftovers = leftovers
        self._machine = Netns.from_path("/proc/thread-self/ns/net")
        self._entry: dict[str, Any] | None = None
        digest = blake2b(f"{lab} {node.name}".encode(), digest_size=4).hexdigest()
        self._name = f"vnf-nat{digest}"
        self._table = f"build-vnf-{lab}-{node.name}"
        try:
            with _one_at_a_time():
                near = self._make(node, netns, index, int(digest, 16))
                if ipv6:
                    self._add_ipv6(node, netns, index, near)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Takes back what was changed of the machine; closing twice is allowed."""
        entry, self._entry = self._entry, None
        try:
            if entry is not None:
                self._machine.run(take_back, entry)
                self._leftovers.drop(entry)
        finally:
            self._machine.close()

    def let_go(self) -> None:
        """Leaves it to the process that we were forked from."""
        self._entry = None
        self._machine.close()

    def _make(self, node: NodePlan, netns: Netns, index: int, seed: int) -> int:
        """Make the link and what IPv4 needs; returns the number of its end on the machine."""
        with Addressing.inside(self._machine) as machine:
            network = _free_network(machine, node, seed)
            gateway, own = list(network.hosts())
            if any(state.name == self._name for state in machine.links()):
                raise LabError(
                    f"the machine has an interface {self._name} already", where=node.name
                )
            self._note()
            with Addressing.inside(netns) as inside:
                # The machine numbers its end itself.
                inside.add_veth(
                    End(OUTSIDE, index, netns, _mac(seed, 2)),
                    End(self._name, 0, self._machine, _mac(seed, 1)),
                    where=node.name,
                )
                inside.commit()
            near = next(state.index for state in machine.links() if state.name == self._name)
            machine.add_address(near, f"{gateway}/{_LINK_PREFIXLEN}", where=node.name)
            machine.set_up(near, where=node.name)
            machine.commit()
        with Addressing.inside(netns) as inside:
            inside.set_up(index, where=node.name)
            inside.add_address(index, f"{own}/{_LINK_PREFIXLEN}", where=node.name)
            if node.default_route is None:
                inside.add_route(Route("default", str(gateway), index), where=node.name)
            inside.commit()
        netns.run(masquerade, "build-vnf", where=node.name, leaving_by=OUTSIDE)
        self._machine.run(masquerade, self._table, where=node.name, source=str(own))
        self._machine.run(self._have_forwarded, node.name)
        self._tell_of_firewall(node.name)
        return near

    def _add_ipv6(self, node: NodePlan, netns: Netns, index: int, near: int) -> None:
        """Have the router lead IPv6 out too, or say why it does not."""
        with Addressing.inside(self._machine) as machine:
            obstacle = self._machine.run(_ipv6_obstacle, machine.routes())
            if not obstacle:
                try:
                    netns.run(
                        masquerade, "build-vnf", where=node.name, leaving_by=OUTSIDE, version=6
                    )
                except MachineError as error:
                    obstacle = error.message
            if obstacle:
                self.notes.append(f"{node.name}: IPv6 does not leave the lab: {obstacle}")
                return
            network = _free_network_ipv6(machine, node, self._table)
            gateway, own = network[1], network[2]
            where = node.name
            # What the machine has switched off for new interfaces does not hold for this one.
            switch = Path(f"/proc/sys/net/ipv6/conf/{self._name}/disable_ipv6")
            self._machine.run(switch.write_text, "0")
            machine.add_address(near, f"{gateway}/{network.prefixlen}", where=where)
            machine.commit()
        with Addressing.inside(netns) as inside:
            inside.add_address(index, f"{own}/{network.prefixlen}", where=where)
            if node.default_route_ipv6 is None:
                inside.add_route(Route("::/0", str(gateway), index), where=where)
            inside.commit()
        self._machine.run(masquerade, self._table, where=where, source=str(own), version=6)
        self._tell_of_firewall(where, version=6)

    def _note(self) -> None:
        name = self._machine.run(netns_name)
        others = list(_others(name, self._table))
        now = self._machine.run(lambda: _FORWARD.read_text().strip())
        self._entry = self._leftovers.add(
            "nat",
            netns=name,
            link=self._name,
            table=self._table,
            # As it was before any lab changed it: the last one to end puts it back.
            forwarding=others[0]["forwarding"] if others else now,
        )

    def _have_forwarded(self, where: str) -> None:
        if _FORWARD.read_text().strip() == "0":
            try:
                _FORWARD.write_text("1")
            except OSError as error:
                raise MachineError(
                    f"the machine does not forward, and cannot be told to: {error.strerror}",
                    where=str(_FORWARD),
                    hint="sysctl -w net.ipv4.ip_forward=1",
                ) from error
            self.notes.append(
                f"{where}: net.ipv4.ip_forward of the machine is 1 while the lab runs; it was 0"
            )

    def _tell_of_firewall(self, where: str, version: int = 4) -> None:
        told = "\n".join(self.notes)
        for chain in self._machine.run(dropping_chains, version):
            # One of the family inet is for both versions of IP.
            if f"({chain})" not in told:
                self.notes.append(
                    f"{where}: the machine's firewall drops what it is not told to forward"
                    f" ({chain}); let it pass: nft insert rule {chain} iifname {self._name} accept,"
                    f" and the same with oifname"
                )


def take_back(entry: dict[str, Any]) -> bool:
    """Take back what a router's way out has changed in the namespace of the calling thread.

    Args:
        entry: as it was noted.

    Returns:
        True: nothing can be in its way for longer.
    """
    with _one_at_a_time():
        with Addressing() as machine:
            for state in machine.links():
                if state.name == entry["link"]:
                    machine.delete_link(state.index, where=state.name)
                    # It goes with the namespace of its other end, maybe just now.
                    with suppress(LabError):
                        machine.commit()
        remove_table(entry["table"])
        if entry["forwarding"] == "0" and not list(_others(entry["netns"], entry["table"])):
            _FORWARD.write_text("0")
    return True


def _others(netns: str, table: str) -> Iterator[dict[str, Any]]:
    """What other routers of labs that run have noted of their ways into a namespace."""
    from emulator.labs import living_folders

    for folder in living_folders():
        for entry in entries_of(folder):
            ours = entry.get("kind") == "nat" and entry["netns"] == netns
            if ours and entry["table"] != table:
                yield entry


def _free_network(machine: Addressing, node: NodePlan, seed: int) -> IPv4Network:
    """A network for the link that neither the machine nor the lab knows."""
    known = [ip_network(r.to) for r in machine.routes() if r.to not in ("default", "::/0")]
    known += [ip_interface(own).network for each in node.interfaces for own in each.addresses]
    taken = [network for network in known if isinstance(network, IPv4Network)]
    count = 1 << (_LINK_PREFIXLEN - _POOL.prefixlen)
    base = int(_POOL.network_address)
    for attempt in range(_TRIES):
        at = base + ((seed + attempt) % count << (32 - _LINK_PREFIXLEN))
        network = IPv4Network((at, _LINK_PREFIXLEN))
        if not any(network.overlaps(each) for each in taken):
            return network
    raise LabError(
        f"no network in {_POOL} is free for the link out of the lab",
        where=node.name,
        hint="the machine has routes for all of it",
    )


def _ipv6_obstacle(routes: list[Route]) -> str:
    """Why the calling thread's namespace leads no IPv6 of a lab out; empty where it does."""
    if all(route.to != "::/0" for route in routes):
        return "the machine has no default route for it"
    if _FORWARD_IPV6.read_text().strip() == "0":
        return (
            "the machine does not forward it; sysctl -w net.ipv6.conf.all.forwarding=1, and "
            "accept_ra=2 on an interface that gets its route from a router"
        )
    return ""


def _free_network_ipv6(machine: Addressing, node: NodePlan, seed: str) -> IPv6Network:
    """One of RFC 4193's networks for the link that neither the machine nor the lab knows."""
    known = [ip_network(r.to) for r in machine.routes() if r.to not in ("default", "::/0")]
    known += [ip_interface(own).network for each in node.interfaces for own in each.addresses]
    taken = [network for network in known if isinstance(network, IPv6Network)]
    for attempt in range(_TRIES):
        picked = blake2b(f"{seed} {attempt}".encode(), digest_size=7).digest()
        address = bytes((_UNIQUE_LOCAL, *picked)).ljust(16, b"\0")
        network = IPv6Network((address, _LINK_PREFIXLEN_IPV6))
        if not any(network.overlaps(each) for each in taken):
            return network
    raise LabError(
        "no network in fd00::/8 is free for the link out of the lab",
        where=node.name,
        hint="the machine has routes for all of it",
    )


def _mac(seed: int, end: int) -> str:
    return bytes((2, 5, *seed.to_bytes(4)[:3], end)).hex(":")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Labs that start or end now wait for each other: they look at what the others have."""
    folder = os.open(run_dir(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
