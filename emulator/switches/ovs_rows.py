"""Bridges, ports and controllers of a plan as rows of Open vSwitch's database."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.plan.model import InterfacePlan, NodePlan
from emulator.plan.switch_model import ControllerPlan, OvsPlan
from emulator.switches.ovs_dpdk import port_row
from emulator.switches.ovsdb import Row, insert, map_of, mutate, named, set_of, update

_PROBE_MS = 30_000
"""A controller that says nothing for so long is asked whether it is there; on a busy machine one
in Python may be slow to answer, and a connection lost is flows lost."""


@dataclass(frozen=True)
class Bridge:
    """A bridge as it is to be, or as the database has it."""

    node: NodePlan
    datapath_type: str
    targets: tuple[str, ...]
    """Where it finds its controllers."""
    edges: frozenset[str]
    """The kernel names of its ports that lead to hosts and routers, which pass no frames on."""

    @property
    def name(self) -> str:
        """What the database and ``ovs-ofctl`` call it."""
        return self.node.kernel_name or self.node.name

    @property
    def ovs(self) -> OvsPlan:
        """Its settings."""
        assert self.node.switch is not None
        assert self.node.switch.ovs is not None
        return self.node.switch.ovs

    def columns(self) -> Row:
        """Its own columns, without ports and controllers."""
        ovs = self.ovs
        other = {
            "rstp-forward-delay": "4",
            "datapath-id": ovs.dpid,
            "disable-in-band": "true",
            "hwaddr": f"02:05:{zlib.crc32(self.name.encode()).to_bytes(4).hex(':')}",
        }
        if ovs.priority is not None:
            other["rstp-priority"] = str(ovs.priority)
        return {
            "datapath_type": self.datapath_type,
            "fail_mode": ovs.fail_mode,
            "protocols": set_of(ovs.protocols),
            # The rapid one: in milliseconds where the classic one takes half a minute.
            "rstp_enable": self.node.stp,
            "other_config": map_of(other),
        }


@dataclass
class Known:
    """A bridge that is in the database, and its rows there."""

    bridge: Bridge
    uuid: Any
    ports: dict[str, tuple[InterfacePlan, Any]] = field(default_factory=dict)
    """Kernel name -> what it was made from, and its row."""


class Changes:
    """The operations of one transaction, and which of their results say where the new rows are.

    Attributes:
        operations: what the database is to do.
        gone: the bridges, and the ports of bridges that stay, that are no more once it has: each
            with its kernel name, which is empty for the bridge itself.
    """

    def __init__(self) -> None:
        self.operations: list[Row] = []
        self.gone: list[tuple[Known, str]] = []
        self._rows: dict[int, tuple[str, str]] = {}
        self._count = 0

    def add_bridge(self, bridge: Bridge, interfaces: Iterable[InterfacePlan]) -> None:
        """A new bridge with its ports."""
        ports = [named(self._port(bridge, bridge.name, {"type": "internal"}))]
        ports += [named(self._port_of(bridge, interface)) for interface in interfaces]
        controllers = [named(name) for name in self._controllers(bridge)]
        row = {
            "name": bridge.name,
            **bridge.columns(),
            "ports": set_of(ports),
            "controller": set_of(controllers),
        }
        name = self._insert("Bridge", row, (bridge.name, ""))
        self.operations.append(
            mutate("Open_vSwitch", None, ("bridges", "insert", set_of([named(name)])))
        )

    def change_bridge(self, bridge: Bridge) -> None:
        """Other settings or controllers of a bridge that is there."""
        controllers = [named(name) for name in self._controllers(bridge)]
        row = {**bridge.columns(), "controller": set_of(controllers)}
        self.operations.append(update("Bridge", bridge.name, row))

    def remove_bridge(self, known: Known) -> None:
        """A bridge and all that is part of it."""
        gone = set_of([known.uuid])
        self.operations.append(mutate("Open_vSwitch", None, ("bridges", "delete", gone)))
        self.gone.append((known, ""))

    def add_port(self, bridge: Bridge, interface: InterfacePlan) -> None:
        """A new port of a bridge that is there."""
        ports = set_of([named(self._port_of(bridge, interface))])
        self.operations.append(mutate("Bridge", bridge.name, ("ports", "insert", ports)))

    def remove_port(self, known: Known, interface: str) -> None:
        """A port of a bridge that stays."""
        ports = set_of([known.ports[interface][1]])
        self.operations.append(mutate("Bridge", known.bridge.name, ("ports", "delete", ports)))
        self.gone.append((known, interface))

    def rows(self, results: list[Row]) -> Mapping[tuple[str, str], Any]:
        """Where the new rows are: (bridge, interface; empty for the bridge itself) -> UUID."""
        return {key: results[index]["uuid"] for index, key in self._rows.items()}

    def _port_of(self, bridge: Bridge, interface: InterfacePlan) -> str:
        row: Row = {"ofport_request": interface.port, "type": ""}
        if bridge.ovs.port_type != "system":
            row["type"] = bridge.ovs.port_type
        if bridge.ovs.port_type == "dpdk":
            row |= port_row(bridge.ovs, interface)
        return self._port(bridge, interface.kernel_name, row, interface)

    def _port(
        self, bridge: Bridge, name: str, row: Row, interface: InterfacePlan | None = None
    ) -> str:
        made = self._insert("Interface", {"name": name, **row})
        port = {"name": name, "interfaces": named(made), **_vlans(interface)}
        if name in bridge.edges:
            # It need not be found out whether frames could come back there.
            port["other_config"] = map_of({"rstp-port-admin-edge": "true"})
        return self._insert("Port", port, (bridge.name, name))

    def _controllers(self, bridge: Bridge) -> list[str]:
        common = {
            "connection_mode": "out-of-band",
            "max_backoff": bridge.ovs.reconnect_ms,
            "inactivity_probe": _PROBE_MS,
        }
        targets = [*bridge.targets]
        if bridge.ovs.listen_port is not None:
            targets.append(f"ptcp:{bridge.ovs.listen_port}:127.0.0.1")
        return [self._insert("Controller", {"target": each, **common}) for each in targets]

    def _insert(self, table: str, row: Row, key: tuple[str, str] | None = None) -> str:
        self._count += 1
        name = f"row{self._count}"
        if key is not None:
            self._rows[len(self.operations)] = key
        self.operations.append(insert(table, row, name))
        return name


def target_of(controller: ControllerPlan) -> str | None:
    """Where bridges find a controller in the lab's fabric; None for one that is nowhere."""
    if controller.kind == "none":
        return None
    port = controller.relay_port if controller.kind == "remote" else controller.port
    return f"tcp:127.0.0.1:{port}"


def _vlans(interface: InterfacePlan | None) -> Row:
    """What a port does with VLANs, where frames go the normal way."""
    if interface is None or (interface.vlan is None and not interface.trunk):
        return {}
    if not interface.trunk:
        return {"vlan_mode": "access", "tag": interface.vlan}
    row: Row = {"vlan_mode": "trunk", "trunks": set_of(interface.trunk)}
    if interface.vlan is not None:
        row |= {"vlan_mode": "native-untagged", "tag": interface.vlan}
    return row
