"""The ``packet`` data plane: the VNF is a process that reads and writes AF_PACKET sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.dataplane.hostpath import open_host_path
from emulator.dataplane.process import Launch, ProcessVnf, Site, program_for, start_process

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Compile and start the VNF of a node; see ``start_vnf``."""
    return start_command(node, netns, manifest, site, program_for(site, manifest, "packet"))


def start_command(
    node: NodePlan,
    netns: Netns,
    manifest: Manifest,
    site: Site | None,
    command: list[str],
    *,
    notes: tuple[str, ...] = (),
) -> ProcessVnf:
    """Start a command that handles frames as ``packet.c`` does.

    Args:
        notes: what the user has to know beside the mode that the process reports.
    """
    launch = Launch(command, notes=notes)
    # A packet socket takes copies: without a shield, the node's stack would see every frame too.
    launch.use(open_host_path(node, netns, shield=True))
    return start_process(node, netns, manifest, site, launch)
