"""The ``afxdp`` data plane: the VNF is a process that reads and writes XDP sockets.

The XDP programs that lead frames to the sockets are loaded and attached from here, in native mode,
and then held by the process alone: when it ends, however it ends, nothing stays attached. The
process itself keeps no right but those an XDP socket takes.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.dataplane.build import build_program, library_dir
from emulator.dataplane.hostpath import open_host_path
from emulator.dataplane.process import Launch, ProcessVnf, Site, start_process
from emulator.errors import UsageError
from emulator.kernel.bpf import BpfId, BpfObject, attach_xdp, require_libbpf
from emulator.kernel.clang import compile_bpf

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan

LIBRARIES = ("libxdp", "libbpf")
MAX_MTU_BYTES = 3500
"""A frame lies in one page, together with the room before and after it that is the kernel's."""


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Compile and start the VNF of a node; see ``start_vnf``."""
    program = build_program(manifest, "afxdp", libraries=LIBRARIES)
    return start_command(node, netns, manifest, site, [str(program)])


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
            maps.append(sockets.fd)
            launch.bpf += [BpfId("program", program.id), BpfId("map", sockets.id)]
            launch.bpf.append(BpfId("link", link.id))
        launch.command += ["--xskmap", ",".join(map(str, maps))]
        launch.pass_fds += (*maps, *(link.fd for link in links))
        launch.use(open_host_path(node, netns, shield=True))
        vnf = start_process(node, netns, manifest, site, launch)
        for link in links:
            link.give_away()
        return vnf
