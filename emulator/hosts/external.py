"""Interfaces of the machine inside of a lab, and back.

What an interface was is written down before it is moved: addresses, routes, whether it was up. A
lab that ends puts it back. When the emulator is killed, a process that does nothing else does it
(``lender.py``). Should that be killed as well, the kernel gives a piece of hardware back bare, and
the next lab or ``vnf clean`` finds what it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from emulator.errors import UsageError
from emulator.hosts.leftovers import Leftovers, netns_name
from emulator.kernel.addressing import Addressing, Route
from emulator.kernel.netns import Netns
from emulator.kernel.rtnl import LOOPBACK_INDEX, LinkState
from emulator.names import suggestion
from emulator.plan.model import InterfacePlan

_LENDER_DEADLINE_S = 20.0


class External:
    """One interface of the machine while a lab has it; ``close`` gives it back.

    Args:
        node: the node that is to have it.
        interface: as it is to be there.
        netns: where the node's interfaces are.
        index: a number that no interface of the lab has.
        master: the bridge that it is to be a port of.
        leftovers: where it is noted what it was.

    Attributes:
        mac: what it has in the lab.

    Raises:
        UsageError: the machine has no such interface, or needs it itself.
        LabError: the kernel does not move it.
    """

    def __init__(
        self,
        node: str,
        interface: InterfacePlan,
        netns: Netns,
        index: int,
        master: int | None,
        leftovers: Leftovers,
    ) -> None:
        assert interface.external is not None
        self._where = f"{node} {interface.name}"
        self._leftovers = leftovers
        self._netns = netns.copy()
        self._machine = Netns.from_path("/proc/thread-self/ns/net")
        self._entry: dict[str, Any] | None = None
        self._lender: subprocess.Popen[bytes] | None = None
        self.mac = interface.mac
        try:
            self._move(interface, index, master)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives the interface back as it was; closing twice is allowed."""
        entry, self._entry = self._entry, None
        try:
            if entry is not None:
                give_back(entry, self._netns, self._machine)
                self._leftovers.drop(entry)
        finally:
            # It finds nothing left to do, unless we have failed.
            if self._lender is not None and self._lender.stdin is not None:
                self._lender.stdin.close()
                try:
                    self._lender.wait(_LENDER_DEADLINE_S)
                except subprocess.TimeoutExpired:
                    self._lender.kill()
                    self._lender.wait()
                self._lender = None
            self._netns.close()
            self._machine.close()

    def let_go(self) -> None:
        """Leaves it to the process that we were forked from."""
        self._entry = None
        if self._lender is not None and self._lender.stdin is not None:
            os.close(self._lender.stdin.fileno())
            self._lender = None
        self._netns.close()
        self._machine.close()

    def _move(self, interface: InterfacePlan, index: int, master: int | None) -> None:
        assert interface.external is not None
        name = interface.external.interface
        with Addressing.inside(self._machine) as machine:
            state = _found(machine, name, self._where)
            routes = [each for each in machine.routes() if each.index == state.index]
            if not interface.external.force and any(map(_leads_out, routes)):
                raise UsageError(
                    f"the machine's default route goes through {name}",
                    where=self._where,
                    hint="it would cut the machine off; force=True takes it all the same",
                )
            self._entry = self._leftovers.add(
                "interface",
                netns=self._machine.run(netns_name),
                interface=name,
                there=interface.kernel_name,
                mac=state.mac,
                mtu=state.mtu,
                up=state.up,
                promiscuous=machine.is_promiscuous(state.index),
                addresses=machine.addresses(state.index),
                routes=[_written(each) for each in routes if not each.by_kernel],
            )
            self._lender = _lend(self._entry, self._netns, self._machine, self._leftovers.folder)
            machine.move_as(
                state.index, self._netns, interface.kernel_name, index, where=self._where
            )
            machine.commit()
        with Addressing.inside(self._netns) as inside:
            if interface.external.keeps_mac:
                self.mac = state.mac
            else:
                inside.set_mac(index, interface.mac, where=self._where)
            inside.set_mtu(index, interface.mtu, where=self._where)
            if master is not None:
                inside.set_master(index, master, where=self._where)
            inside.set_up(index, where=self._where)
            for address in interface.addresses:
                inside.add_address(index, address, where=self._where)
            inside.commit()


def give_back(entry: dict[str, Any], netns: Netns, machine: Netns) -> bool:
    """Moves an interface from a lab back to the machine, as it was there.

    Returns:
        False: it is back already, or is gone.

    Raises:
        LabError: the kernel does not move it.
    """
    where = f"external {entry['interface']}"
    with Addressing.inside(netns) as inside:
        for state in inside.links():
            if state.name == entry["there"]:
                inside.move_as(state.index, machine, entry["interface"], None, where=where)
                inside.commit()
                break
        else:
            return False
    return machine.run(restore, entry)


def restore(entry: dict[str, Any]) -> bool:
    """Gives an interface that is back on the machine what it had there.

    Args:
        entry: as it was noted. It is looked for in the namespace of the calling thread, under its
            own name, and under the one that it had in the lab.

    Returns:
        True: one that is not there will not come.
    """
    where = f"external {entry['interface']}"
    with Addressing() as machine:
        names = (entry["interface"], entry["there"])
        found = [state for state in machine.links() if state.name in names]
        if not found:
            return True
        index = found[0].index
        if found[0].name != entry["interface"]:
            machine.set_up(index, up=False, where=where)
            machine.rename(index, entry["interface"], where=where)
        machine.set_mac(index, entry["mac"], where=where)
        machine.set_mtu(index, entry["mtu"], where=where)
        # A bridge takes that back, Open vSwitch does not.
        machine.set_promiscuous(index, entry["promiscuous"], where=where)
        machine.set_up(index, up=entry["up"], where=where)
        for address in entry["addresses"]:
            machine.add_address(index, address, where=where)
        machine.commit()
        for written in sorted(entry["routes"], key=lambda route: route["gateway"] is not None):
            machine.add_route(Route(index=index, **written), where=where)
        machine.commit()
    return True


def _found(machine: Addressing, name: str, where: str) -> LinkState:
    states = {state.name: state for state in machine.links() if state.index != LOOPBACK_INDEX}
    if name not in states:
        # Those that the machine itself is reached by are nothing to propose.
        needed = {route.index for route in machine.routes() if _leads_out(route)}
        free = sorted(each.name for each in states.values() if each.index not in needed)
        hint = suggestion(name, free) or f"it has {', '.join(free) or 'none to spare'}"
        if needed:
            others = sorted(each.name for each in states.values() if each.index in needed)
            hint += f"; not {', '.join(others)}, which its default route goes through"
        raise UsageError(f"the machine has no interface {name}", where=where, hint=hint)
    return states[name]


def _leads_out(route: Route) -> bool:
    return route.to in ("default", "::/0")


def _written(route: Route) -> dict[str, Any]:
    return {"to": route.to, "gateway": route.gateway, "metric": route.metric}


def _lend(
    entry: dict[str, Any], netns: Netns, machine: Netns, folder: Path
) -> subprocess.Popen[bytes]:
    """Starts the process that gives the interface back should the emulator be killed."""
    fds = (netns.fd, machine.fd)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "emulator.hosts.lender",
            *map(str, fds),
            str(folder),
            json.dumps(entry),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=fds,
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )
