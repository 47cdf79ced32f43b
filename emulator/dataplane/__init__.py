"""Data planes: the ways in which a VNF's packets can be processed.

Each data plane is a module with ``start`` and ``attach``. Which of them can be asked for is said
once, in ``emulator.catalog``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.catalog import AVAILABLE
from emulator.dataplane import afxdp, dpdk, kernel, packet, program, python, xdp
from emulator.dataplane.process import Site, attach_process
from emulator.dataplane.running import Description, PortCounters, RunningVnf
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

__all__ = ["Description", "PortCounters", "RunningVnf", "Site", "attach_vnf", "start_vnf"]


@dataclass(frozen=True)
class _DataPlane:
    start: Callable[[NodePlan, Netns, Manifest, Site | None], RunningVnf]
    attach: Callable[[Description, Netns], RunningVnf]


_DATA_PLANES = {
    "kernel": _DataPlane(kernel.start, kernel.attach),
    "xdp": _DataPlane(xdp.start, xdp.attach),
    "afxdp": _DataPlane(afxdp.start, attach_process),
    "dpdk": _DataPlane(dpdk.start, dpdk.attach),
    "packet": _DataPlane(packet.start, attach_process),
    "python": _DataPlane(python.start, attach_process),
}
_PROGRAM = _DataPlane(program.start, program.attach)


def start_vnf(
    node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None = None
) -> RunningVnf:
    """Start the VNF of a node whose interfaces exist and are up in its namespace.

    The caller need not be in the namespace. When it fails, nothing is left behind.

    Args:
        site: where a VNF that is a process lives; the data planes inside the kernel need none.

    Raises:
        UsageError: the data plane is not available, or the VNF's source does not compile.
        MachineError: the machine lacks what the data plane needs.
        LabError: the kernel refuses the VNF.
    """
    if node.vnf is None:
        raise UsageError("the node is not a VNF", where=node.name)
    plane = _data_plane(node.vnf.dataplane, where=node.name)
    last = (os.cpu_count() or 1) - 1
    for core in node.vnf.cores:
        if core > last:
            hint = f"cores are numbered from 0 to {last}"
            raise UsageError(f"there is no core {core}", where=node.name, hint=hint)
    if manifest.dataplanes[node.vnf.dataplane].program is not None:
        plane = _PROGRAM
    return plane.start(node, netns, manifest, site)


def attach_vnf(description: Description, netns: Netns) -> RunningVnf:
    """Read a VNF that another process runs, from what its ``describe`` returned.

    Raises:
        LabError: the VNF is not there any more.
    """
    plane = _PROGRAM if "program" in description else _data_plane(description["dataplane"])
    return plane.attach(description, netns)


def _data_plane(name: str, *, where: str = "") -> _DataPlane:
    try:
        return _DATA_PLANES[name]
    except KeyError:
        hint = f"available: {', '.join(AVAILABLE)}"
        raise UsageError(f"there is no data plane {name}", where=where, hint=hint) from None
