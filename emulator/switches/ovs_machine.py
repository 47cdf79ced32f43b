"""What this machine has of Open vSwitch."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emulator.errors import LabError, MachineError
from emulator.plan.model import Plan
from emulator.plan.switch_model import Datapath
from emulator.switches.ovs_dpdk import check_polled_ports

INSTALL_HINT = "scripts/bootstrap --with ovs, or: apt-get install openvswitch-switch"
_SCHEMAS = (
    Path("/usr/share/openvswitch/vswitch.ovsschema"),
    Path("/usr/local/share/openvswitch/vswitch.ovsschema"),
)
_SYSTEM_PATH = ":/usr/local/sbin:/usr/sbin:/sbin"
_FAMILY = "ovs_datapath"


@dataclass(frozen=True)
class Programs:
    """Where the parts of Open vSwitch are."""

    server: str
    switch: str
    tool: str
    ofctl: str
    schema: Path


def programs() -> Programs:
    """The parts of Open vSwitch that a lab needs.

    Raises:
        MachineError: one of them is not installed.
    """
    names = ("ovsdb-server", "ovs-vswitchd", "ovsdb-tool", "ovs-ofctl")
    found = [find_program(name) for name in names]
    schema = next((path for path in _SCHEMAS if path.is_file()), None)
    lacking = [name for name, path in zip(names, found, strict=True) if path is None]
    if schema is None:
        lacking.append(_SCHEMAS[0].name)
    if lacking or schema is None:
        raise MachineError(
            f"Open vSwitch is not installed: there is no {lacking[0]}", hint=INSTALL_HINT
        )
    server, switch, tool, ofctl = (str(path) for path in found)
    return Programs(server, switch, tool, ofctl, schema)


def find_program(name: str) -> str | None:
    """The path of a program, which may be where only root looks; None when it is not there."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


@cache
def has_kernel_datapath() -> bool:
    """Whether the kernel has Open vSwitch's module; asking makes it load one that it has."""
    from pyroute2 import GenericNetlinkSocket
    from pyroute2.netlink import genlmsg
    from pyroute2.netlink.exceptions import NetlinkError

    with GenericNetlinkSocket() as socket:
        try:
            socket.bind(_FAMILY, genlmsg)
        except NetlinkError as error:
            if error.code == errno.ENOENT:
                return False
            raise
        return True


def auto_datapath() -> Datapath:
    """What a bridge gets that leaves its datapath to the machine."""
    return "kernel" if has_kernel_datapath() else "userspace"


def leaves_datapath_open(plan: Plan) -> bool:
    """Whether a bridge of a plan is to get the datapath that the machine has."""
    bridges = [node.switch.ovs for node in plan.switches() if node.switch and node.switch.ovs]
    return any(each.datapath == "auto" for each in bridges)


def check_machine(plan: Plan) -> None:
    """Whether the Open vSwitch bridges of a plan can be had.

    Raises:
        MachineError: Open vSwitch is not installed, or a bridge asks for the kernel's datapath
            and there is none, or for ports that it has not.
    """
    bridges = [node for node in plan.switches() if node.switch and node.switch.ovs]
    switch = programs().switch if bridges else ""
    for node in bridges:
        check_polled_ports(node, switch)
        ovs = node.switch and node.switch.ovs
        if ovs and ovs.datapath == "kernel" and not has_kernel_datapath():
            raise MachineError(
                "the kernel has no openvswitch module",
                where=node.name,
                hint='leave datapath out, or give datapath="userspace"',
            )


def check_port_types(node: str, wanted: str, known: list[str]) -> None:
    """Whether the running switch knows a type of ports.

    Raises:
        MachineError: it was built without.
    """
    if wanted != "system" and wanted not in known:
        raise MachineError(
            f"this machine's Open vSwitch was built without ports of the type {wanted}",
            where=node,
            hint=f"leave port_type out; it has: {', '.join(known)}",
        )


def refused(node: str, interface: str, reason: str) -> LabError:
    """The error of a port that the switch could not open."""
    return LabError(f"Open vSwitch cannot open {interface}: {reason}", where=node)
