"""The Open vSwitch bridges of one lab: made, changed while they run, and taken down."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError
from emulator.plan.model import InterfacePlan, LinkPlan, NodePlan, Plan
from emulator.switches.ovs_daemons import OvsDaemons
from emulator.switches.ovs_dpdk import (
    check_growth,
    clear_dpdk_ports,
    kept_settings,
    polling_settings,
    why_no_port,
)
from emulator.switches.ovs_machine import auto_datapath, check_port_types, programs, refused
from emulator.switches.ovs_rows import Bridge, Changes, Known, target_of
from emulator.switches.ovsdb import Ovsdb, Row, map_of, mutate, set_of

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.runtime.namespace import Processes

_POLL_S = 0.01
_READY_S = 30.0
_NOTICED_S = 2.0
_TOLD_S = 1.0
_ASK_AGAIN_S = 0.05
_TOLD_POLL_S = 0.002
_INTERVAL = "stats-update-interval"
_SHORTEST_MS, _LONGEST_MS = 5000, 10_000
_UNTOLD = {"untold": "yes"}
_UNTOLD_ROW = {"status": map_of(_UNTOLD)}


class Ovs:
    """The bridges of a lab we own; no daemon runs while it has none.

    Args:
        processes: the lab's.
        netns: that of its fabric, which holds the ports.
        folder: takes their sockets and what they print.
    """

    def __init__(self, processes: Processes, netns: Netns, folder: Path) -> None:
        self._processes = processes
        self._netns = netns
        self._folder = folder
        self._daemons: OvsDaemons | None = None
        self._bridges: dict[str, Known] = {}
        # Started, and not yet waited for until it does what the database says.
        self._is_anew = False
        self._lock = threading.RLock()

    @property
    def daemons(self) -> OvsDaemons | None:
        """What runs; None while the lab has no such bridge."""
        return self._daemons

    def begin(self, plan: Plan) -> None:
        """Start the daemons for the bridges of a plan, unless they run.

        Raises:
            MachineError: Open vSwitch is not installed, or cannot do what is asked.
            LabError: they do not start.
        """
        with self._lock:
            if self._daemons is None:
                settings = polling_settings(plan.switches(), programs().switch)
                self._daemons = OvsDaemons(self._processes, self._netns, self._folder, settings)

    def apply(self, plan: Plan) -> None:
        """Have the bridges that a plan says, with the ports that it says; returns when they work.

        The ports' interfaces have to be there. It is one transaction, however many bridges. Daemons
        that have ended are started anew.

        Raises:
            MachineError: Open vSwitch is not installed, or cannot do what is asked.
            LabError: it does not do what it should.
        """
        wanted = [node for node in plan.switches() if node.switch and node.switch.ovs]
        with self._lock:
            if not wanted and not self._bridges:
                self._end()
                return
            self.begin(plan)
            assert self._daemons is not None
            settings = polling_settings(wanted, programs().switch)
            if self._daemons.failure() is not None:
                self._daemons.settings = settings
                self._start_anew()
            else:
                check_growth(self._daemons.settings, wanted)
                self._daemons.tell(kept_settings(self._daemons.settings, settings))
            self._check_types(wanted)
            bridges = {node.name: _bridge(node, plan) for node in wanted}
            changes = self._changes(bridges)
            if changes.operations or self._is_anew:
                self._transact(changes, bridges)
            self._await_ports(bridges)

    def release(self, links: Iterable[LinkPlan], nodes: Iterable[NodePlan]) -> None:
        """Let go of the ports of links, and of switches, that are just being removed."""
        with self._lock:
            if not self._bridges or self._daemons is None or self._daemons.failure() is not None:
                return  # what it does not hear now, it hears when it is started anew
            changes = Changes()
            staying = {**self._bridges}
            for node in nodes:
                known = staying.pop(node.name, None)
                if known is not None:
                    changes.remove_bridge(known)
            for end in (end for link in links for end in (link.a, link.b)):
                known = staying.get(end.node)
                if known is None:
                    continue
                for name, (interface, _) in known.ports.items():
                    if interface.name == end.interface:
                        changes.remove_port(known, name)
            if changes.operations:
                self._transact(changes)

    def halt(self) -> None:
        """End what forwards frames; :meth:`restart` starts it anew."""
        with self._lock:
            if self._daemons is not None:
                self._daemons.halt()

    def restart(self) -> None:
        """Start the daemons that have ended anew: bridges and ports are as they were.

        Raises:
            LabError: they do not start.
        """
        with self._lock:
            if self._daemons is None:
                return
            self._start_anew()
            # Whatever was decided while nobody listened, and that there is something to wait for.
            self._transact(Changes())
            self._await_ports({name: known.bridge for name, known in self._bridges.items()})

    def failure(self) -> str | None:
        """Why no bridge forwards; None while the daemons run."""
        return None if self._daemons is None else self._daemons.failure()

    def describe(self) -> dict[str, Any]:
        """What another process has to know of them."""
        if self._daemons is None:
            return {}
        return {"folder": str(self._folder), "pids": list(self._daemons.pids)}

    # Readiness ----------------------------------------------------------------------------------

    def apart(self, plan: Plan, controller: str, *, now: bool = False) -> list[str]:
        """The switches that are to be connected to a controller, and are not.

        Args:
            now: as it is at this moment; otherwise it may be some seconds old.

        Raises:
            LabError: the database does not answer.
        """
        if self._daemons is None:
            return []
        if now:
            tell_anew(self._daemons.database)
        return apart(self._daemons.database, plan, controller)

    # Inside -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the daemons; their bridges go with them."""
        with self._lock:
            self._end()

    def let_go(self) -> None:
        """What a forked process does: there is nothing of it to close."""

    def _start_anew(self) -> None:
        assert self._daemons is not None
        clear_dpdk_ports([known.bridge.node for known in self._bridges.values()], self._netns)
        self._daemons.start()
        self._is_anew = True

    def _end(self) -> None:
        if self._daemons is not None:
            self._daemons.close()
            self._daemons = None

    def _check_types(self, nodes: Iterable[NodePlan]) -> None:
        types = {
            node.name: node.switch.ovs.port_type
            for node in nodes
            if node.switch and node.switch.ovs
        }
        if self._daemons is None or set(types.values()) <= {"system"}:
            return
        known = self._daemons.interface_types()
        for name, wanted in types.items():
            check_port_types(name, wanted, known)

    def _changes(self, bridges: Mapping[str, Bridge]) -> Changes:
        changes = Changes()
        for name, known_bridge in self._bridges.items():
            if name not in bridges:
                changes.remove_bridge(known_bridge)
        for name, bridge in bridges.items():
            known = self._bridges.get(name)
            interfaces = {each.kernel_name: each for each in bridge.node.interfaces}
            if known is None:
                changes.add_bridge(bridge, interfaces.values())
                continue
            if known.bridge.columns() != bridge.columns() or known.bridge.targets != bridge.targets:
                changes.change_bridge(bridge)
            reached_anew = _port_kind(known.bridge) != _port_kind(bridge)
            staying = set()
            for port, (was, _) in known.ports.items():
                now = interfaces.get(port)
                if now is None or reached_anew or _port_settings(now) != _port_settings(was):
                    changes.remove_port(known, port)
                else:
                    staying.add(port)
            for port, interface in interfaces.items():
                if port not in staying:
                    changes.add_port(bridge, interface)
        return changes

    def _transact(self, changes: Changes, bridges: Mapping[str, Bridge] | None = None) -> None:
        """Carry out changes, and know the bridges as they then are; returns when they work so."""
        assert self._daemons is not None
        results, number = self._daemons.change(changes.operations)
        # From here on the database has it, whatever becomes of ovs-vswitchd; not before.
        self._know(changes, changes.rows(results), bridges or {})
        self._daemons.await_configured(number)
        self._is_anew = False

    def _know(
        self,
        changes: Changes,
        rows: Mapping[tuple[str, str], Any],
        bridges: Mapping[str, Bridge],
    ) -> None:
        for known, port in changes.gone:
            if port:
                del known.ports[port]
            else:
                del self._bridges[known.bridge.node.name]
        for name, bridge in bridges.items():
            present = self._bridges.get(name)
            if present is None:
                present = self._bridges[name] = Known(bridge, rows[bridge.name, ""])
            present.bridge = bridge
            for interface in bridge.node.interfaces:
                if (bridge.name, interface.kernel_name) in rows:
                    row = rows[bridge.name, interface.kernel_name]
                    present.ports[interface.kernel_name] = (interface, row)

    def _await_ports(self, bridges: Mapping[str, Bridge]) -> None:
        """Returns when every port is in its datapath, under the number that it is to have.

        Raises:
            LabError: one of them cannot be opened.
        """
        assert self._daemons is not None
        began_s = time.monotonic()
        wanted = {
            interface.kernel_name: (name, interface)
            for name, bridge in bridges.items()
            for interface in bridge.node.interfaces
        }
        while True:
            rows = self._daemons.database.select("Interface", ["name", "ofport", "error"])
            rows = [row for row in rows if row["name"] in wanted]
            waiting = [row for row in rows if row["ofport"] in ([], -1)]
            if not waiting:
                break
            failure = self._daemons.failure()
            if failure is not None:
                raise LabError(failure)
            waited_s = time.monotonic() - began_s
            wrong = [row for row in waiting if row["error"]]
            # An interface that has just come back may be an error until that is noticed.
            if waited_s > (_NOTICED_S if wrong else _READY_S):
                row = (wrong or waiting)[0]
                name, interface = wanted[row["name"]]
                raise refused(name, interface.name, self._why(row, bridges[name]))
            time.sleep(_POLL_S)
        for row in rows:
            name, interface = wanted[row["name"]]
            if row["ofport"] != interface.port:
                text = f"its port has the number {row['ofport']}, not {interface.port}"
                raise refused(name, interface.name, text)

    def _why(self, row: Row, bridge: Bridge) -> str:
        """Why a port is not there."""
        assert self._daemons is not None
        why = str(row["error"] or "it does not say why")
        if bridge.ovs.port_type == "dpdk":
            with self._daemons.log.open(errors="replace") as log:
                reason = why_no_port(log, row["name"])
            return f"{why}: {reason}" if reason else why
        return why


def tell_anew(database: Ovsdb) -> None:
    """Have the database be told the state of connections, as it is only every five seconds.

    It is when the interval of that is changed, and five seconds are the shortest. A mark in what is
    told shows when it has been; while ``ovs-vswitchd`` does not run, the mark stays.

    Raises:
        LabError: the database does not answer.
    """
    deadline = time.monotonic() + _TOLD_S
    while time.monotonic() < deadline:
        # By chance, because it has to be another one than that of whoever has asked last.
        interval = {_INTERVAL: str(random.randrange(_SHORTEST_MS, _LONGEST_MS))}
        database.transact(
            [
                mutate("Open_vSwitch", None, ("other_config", "delete", set_of([_INTERVAL]))),
                mutate("Open_vSwitch", None, ("other_config", "insert", map_of(interval))),
                {"op": "update", "table": "Controller", "where": [], "row": _UNTOLD_ROW},
            ]
        )
        # A change that comes while it is just telling is lost.
        again = time.monotonic() + _ASK_AGAIN_S
        while time.monotonic() < again:
            told = database.select("Controller", ["status"])
            if all(row["status"] != _UNTOLD for row in told):
                return
            time.sleep(_TOLD_POLL_S)


def apart(database: Ovsdb, plan: Plan, controller: str) -> list[str]:
    """The switches of a plan that are to be connected to a controller, and are not.

    Raises:
        LabError: the database does not answer.
    """
    described = plan.node(controller).controller
    target = None if described is None else target_of(described)
    if target is None:
        return []
    columns = ["_uuid", "target", "is_connected"]
    rows = {row["_uuid"]: row for row in database.select("Controller", columns)}
    linked = set()
    for bridge in database.select("Bridge", ["name", "controller"]):
        uuids = bridge["controller"]
        for uuid in uuids if isinstance(uuids, list) else [uuids]:
            row = rows.get(uuid)
            if row is not None and row["is_connected"] and row["target"] == target:
                linked.add(bridge["name"])
    return [
        node.name
        for node in plan.switches()
        if node.switch
        and node.switch.ovs
        and controller in node.switch.ovs.controllers
        and (node.kernel_name or node.name) not in linked
    ]


def _port_settings(interface: InterfacePlan) -> tuple[object, ...]:
    return (interface.port, interface.vlan, interface.trunk)


def _port_kind(bridge: Bridge) -> tuple[str, str | None]:
    return (bridge.ovs.port_type, bridge.ovs.driver)


def _bridge(node: NodePlan, plan: Plan) -> Bridge:
    assert node.switch is not None
    assert node.switch.ovs is not None
    wanted = node.switch.ovs.datapath
    datapath = auto_datapath() if wanted == "auto" else wanted
    controllers = [plan.node(name).controller for name in node.switch.ovs.controllers]
    targets = [target_of(each) for each in controllers if each is not None]
    return Bridge(
        node,
        "system" if datapath == "kernel" else "netdev",
        tuple(target for target in targets if target is not None),
        frozenset(
            interface.kernel_name
            for interface in node.interfaces
            if interface.external is None
            and plan.node(plan.peer(node.name, interface.name).node).kind in ("host", "router")
        ),
    )
