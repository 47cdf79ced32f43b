"""The ``afxdp`` data plane: the VNF is a process that reads and writes XDP sockets.

The XDP programs that lead frames to the sockets are loaded and attached from here, in native mode,
and then held by the process alone: when it ends, however it ends, nothing stays attached. The
process itself keeps no right but those an XDP socket takes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.dataplane.build import library_dir
from emulator.dataplane.hostpath import open_host_path
from emulator.dataplane.process import Launch, ProcessVnf, Site, program_for, start_process
from emulator.errors import UsageError
from emulator.kernel.bpf import BpfId, BpfObject, attach_xdp, require_libbpf
from emulator.kernel.clang import compile_bpf
from emulator.kernel.pidfd import descriptor_of

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.kernel.maps import BpfMap
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

LIBRARIES = ("libxdp", "libbpf")
_QUEUE = 0
"""A veth has one."""
MAX_MTU_BYTES = 3500
"""A frame lies in one page, together with the room before and after it that is the kernel's."""


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Compile and start the VNF of a node; see ``start_vnf``."""
    program = program_for(site, manifest, "afxdp", LIBRARIES)
    return start_command(node, netns, manifest, site, program)


def start_command(
    node: NodePlan,
    netns: Netns,
    manifest: Manifest,
    site: Site | None,
    command: list[str],
    *,
    notes: tuple[str, ...] = (),
) -> ProcessVnf:
    """Start a command that handles frames as ``afxdp.c`` does.

    Args:
        notes: what the user has to know beside the mode that the process reports.
    """
    for interface in node.interfaces:
        if interface.mtu > MAX_MTU_BYTES:
            raise UsageError(
                f"an MTU of {interface.mtu} is more than the afxdp data plane carries",
                where=interface.name,
                hint=f"at most {MAX_MTU_BYTES} bytes; xdp and packet carry larger frames",
            )
    require_libbpf()
    launch = Launch(command, notes=notes)
    path = compile_bpf(library_dir() / "xsk.bpf.c")
    with ExitStack() as ours:
        links, maps = [], []
        for interface in node.interfaces:
            name = f"{interface.name}: way to its XDP socket"
            bpf = ours.enter_context(BpfObject(path, name=name))
            bpf.load()
            program, sockets = bpf.program("to_socket"), bpf.map("sockets")
            link = ours.enter_context(attach_xdp(program, interface.kernel_name, netns))
            links.append(link)
            maps.append(sockets)
            launch.bpf += [BpfId("program", program.id), BpfId("map", sockets.id)]
            launch.bpf.append(BpfId("link", link.id))
        launch.command += ["--xskmap", "outside"]
        launch.pass_fds += tuple(link.fd for link in links)
        launch.use(open_host_path(node, netns, shield=True))
        vnf = start_process(node, netns, manifest, site, launch)
        try:
            _lead_to_sockets(vnf, maps)
        except BaseException:
            vnf.close()
            raise
        for link in links:
            link.give_away()
        return vnf


def _lead_to_sockets(vnf: ProcessVnf, maps: Sequence[BpfMap]) -> None:
    """Put the sockets of the ports into the maps of their XDP programs.

    The process cannot do that itself where it may not call bpf(2): in a container, whose filter
    for system calls takes more than the process has, and before Linux 6.0.
    """
    for sockets, port in zip(maps, vnf.memory.layout["ports"], strict=False):
        fd = descriptor_of(vnf.pid, port["socket"])
        try:
            sockets.update(struct.pack("=I", _QUEUE), struct.pack("=i", fd))
        finally:
            os.close(fd)
