"""Ports of Open vSwitch by DPDK, and the threads that poll ports: what the daemon is told of them.

DPDK has no hugepages here. Open vSwitch gives it the argument ``--in-memory`` unless
``--legacy-mem`` stands among those of its own, and ``--no-huge`` goes with the latter only.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import LabError, MachineError
from emulator.plan.polled_ports import MAX_MTU, POLLED, sleep_us
from emulator.switches.ovsdb import Row, map_of

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.plan.model import InterfacePlan, NodePlan
    from emulator.plan.switch_model import OvsPlan

DPDK_HINT = "scripts/bootstrap --with ovs, or: apt-get install openvswitch-switch-dpdk"
DPDK_SWITCH = Path("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
"""Where Debian and Ubuntu have the one that is linked with DPDK, beside the other."""
_VERSION = re.compile(r"\(Open vSwitch\) (\d+)\.(\d+)")
_DPDK_VERSION = re.compile(r"^DPDK (\S+)", re.MULTILINE)
_COMPLAINT = re.compile(r"\|(?:ERR|EMER)\|(?:EAL: )?(.*)")
_NO_REASON = "Invalid 'command line' arguments"
"""What DPDK says after it has given the reason, and its whole usage."""

SETTINGS = (
    "dpdk-init",
    "dpdk-extra",
    "shared-mempool-config",
    "pmd-cpu-mask",
    "pmd-maxsleep",
    "pmd-sleep-max",
)
"""What the database is told of it; the rest of its column is not ours."""
_AT_THE_START = ("dpdk-init", "dpdk-extra", "shared-mempool-config")

_LEAST_BUFFERS = 1 << 14
"""Open vSwitch makes no pool of fewer, and otherwise the largest power of two that there is memory
for."""
_BUFFER_BYTES = 4096
"""None lies in two pages, and none takes less than one."""
_SPACE = 1.5
"""So much more memory: amounts that hold hardly less than a power of two make pools fail, rather
than get smaller."""
_RING_BUFFERS = 1 << 11
"""An XDP socket's rings hold that many each way: those of one are always taken."""
_MEGABYTE = 1 << 20
_RING_OPTIONS = ("framesz=2048", "blocksz=65536", "framecnt=2048", "qdisc_bypass=1")


@cache
def dpdk_switch(switch: str) -> str | None:
    """The ``ovs-vswitchd`` that is linked with DPDK: the one given, or else Debian's; or None."""
    for program in (switch, str(DPDK_SWITCH)):
        if read_dpdk_version(_version_text(program)):
            return program
    return None


def read_dpdk_version(text: str) -> str:
    """The DPDK that a program is linked with, from what it prints of its version; or empty."""
    found = _DPDK_VERSION.search(text)
    return found[1] if found else ""


@cache
def _version_text(program: str) -> str:
    command = [program, "--version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def check_polled_ports(node: NodePlan, switch: str) -> None:
    """Whether this machine's Open vSwitch has the polled ports that a bridge asks for.

    Args:
        switch: its ``ovs-vswitchd``.

    Raises:
        MachineError: it has none by DPDK, or its threads cannot sleep, or not run there.
    """
    ovs = node.switch and node.switch.ovs
    if ovs and ovs.port_type == "dpdk" and dpdk_switch(switch) is None:
        raise MachineError(
            "this machine's Open vSwitch is not linked with DPDK", where=node.name, hint=DPDK_HINT
        )
    if ovs and ovs.port_type in POLLED:
        _check_cores(node.name, ovs.cores)
        if ovs.idle and sleep_us(ovs.idle):
            _sleep_key(switch, node.name)


def _check_cores(node: str, cores: Iterable[int]) -> None:
    """Open vSwitch has no thread for a CPU that is not there, and says nothing."""
    there = os.sched_getaffinity(0)
    for core in cores:
        if core not in there:
            known = ", ".join(map(str, sorted(there)))
            raise MachineError(f"there is no CPU {core}", where=node, hint=f"there are: {known}")


def _sleep_key(switch: str, node: str) -> str:
    """What the setting is called that lets threads sleep."""
    found = _VERSION.search(_version_text(switch))
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < (3, 1):
        raise MachineError(
            "the threads of Open vSwitch cannot sleep before its version 3.1",
            where=node,
            hint='give idle="poll": each keeps a core busy',
        )
    return "pmd-maxsleep" if version < (3, 2) else "pmd-sleep-max"


def polling_settings(nodes: Sequence[NodePlan], switch: str) -> dict[str, str]:
    """What the database has to say for the bridges of a lab, of :data:`SETTINGS`.

    Args:
        nodes: the bridges.
        switch: the ``ovs-vswitchd`` of the machine.

    Raises:
        MachineError: it cannot do what is asked.
    """
    settings: dict[str, str] = {}
    bridges = [(node, node.switch.ovs) for node in nodes if node.switch and node.switch.ovs]
    for node, ovs in bridges:
        if ovs.port_type not in POLLED:
            continue
        wait_us = sleep_us(ovs.idle) if ovs.idle else 0
        if wait_us:
            settings[_sleep_key(switch, node.name)] = str(wait_us)
        if ovs.cores:
            settings["pmd-cpu-mask"] = hex(sum(1 << core for core in ovs.cores))
    if any(ovs.port_type == "dpdk" for _, ovs in bridges):
        words = ("--no-huge", "--legacy-mem", "--no-pci", "--no-shconf", "--no-telemetry", "-m")
        settings |= {
            "dpdk-init": "true",
            "dpdk-extra": " ".join((*words, str(_megabytes(_xdp_ports(nodes))))),
            # One pool for all ports, whatever their MTU: of several, the first takes too much.
            "shared-mempool-config": str(MAX_MTU["af_xdp"]),
        }
    return settings


def _xdp_ports(nodes: Sequence[NodePlan]) -> int:
    return sum(
        len(node.interfaces)
        for node in nodes
        if node.switch and node.switch.ovs and node.switch.ovs.driver == "af_xdp"
    )


def _megabytes(xdp_ports: int) -> int:
    """What packet buffers take, those on their way in and out of so many XDP sockets with them."""
    buffers = _LEAST_BUFFERS
    while buffers < _RING_BUFFERS * (2 * xdp_ports + 1):
        buffers *= 2
    return int(buffers * _BUFFER_BYTES * _SPACE) // _MEGABYTE


def check_growth(settings: Mapping[str, str], nodes: Sequence[NodePlan]) -> None:
    """Whether DPDK as it was started, or was not, can have the ports of bridges.

    Args:
        settings: those that the daemon was started with.
        nodes: the bridges as they are to be.

    Raises:
        LabError: it cannot.
    """
    switches = [
        node.name
        for node in nodes
        if node.switch and node.switch.ovs and node.switch.ovs.port_type == "dpdk"
    ]
    if not switches:
        return
    where, hint = switches[-1], "start the lab anew with it"
    if "dpdk-init" not in settings:
        text = "the lab's Open vSwitch runs without DPDK, which it can only be started with"
        raise LabError(text, where=where, hint=hint)
    megabytes = int(settings["dpdk-extra"].split()[-1])
    most = int(megabytes * _MEGABYTE / _SPACE) // _BUFFER_BYTES // _RING_BUFFERS - 1
    if _xdp_ports(nodes) > most:
        text = f"DPDK was started with memory for {most} ports by af_xdp"
        raise LabError(text, where=where, hint=hint)


def kept_settings(now: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The settings to have, with those of the start as they are."""
    at_the_start = {name: now[name] for name in _AT_THE_START if name in now}
    return {**wanted, **at_the_start}


def port_row(ovs: OvsPlan, interface: InterfacePlan) -> Row:
    """What an interface's row has for a port by DPDK, beside its type."""
    # Preferred busy polling would burn a core in the kernel.
    more = _RING_OPTIONS if ovs.driver == "af_packet" else ("busy_budget=0",)
    name = interface.kernel_name
    device = ",".join((f"net_{ovs.driver}_{name}", f"iface={name}", *more))
    return {"options": map_of({"dpdk-devargs": device}), "mtu_request": interface.mtu}


def clear_dpdk_ports(nodes: Iterable[NodePlan], netns: Netns) -> None:
    """Take away what an ``ovs-vswitchd`` that was killed has left on the interfaces of bridges."""
    from emulator.kernel.bpf import detach_unowned_xdp

    for node in nodes:
        if node.switch and node.switch.ovs and node.switch.ovs.driver == "af_xdp":
            for interface in node.interfaces:
                detach_unowned_xdp(interface.kernel_name, netns)


def dpdk_environment(folder: Path) -> dict[str, str]:
    """What DPDK has to find in the environment.

    Args:
        folder: takes its files.
    """
    return {
        # Else they would lie in /var/run/dpdk, where nobody takes them away.
        "RUNTIME_DIRECTORY": str(folder),
        # Only a program attached without libxdp's dispatcher leaves nothing in /sys/fs/bpf.
        "LIBXDP_SKIP_DISPATCHER": "1",
    }


def why_no_dpdk(log: Iterable[str]) -> str:
    """Why DPDK does not start, by what the daemon has printed; empty if it does not say."""
    found = (_COMPLAINT.search(line) for line in log)
    return next((each[1] for each in found if each and not each[1].startswith(_NO_REASON)), "")


def why_no_port(log: Iterable[str], interface: str) -> str:
    """Why DPDK has not opened an interface, by what the daemon has printed; or empty."""
    reason = found = ""
    for line in log:
        if "|dpdk|ERR|" in line:
            reason = reason or line.rpartition("|ERR|")[2].strip()
        elif "|netdev_dpdk|" in line:
            if interface in line and "|INFO|" not in line:
                found = reason or found
            reason = ""
    return found
