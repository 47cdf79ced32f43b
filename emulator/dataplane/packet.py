"""The ``packet`` data plane: the VNF is a process that reads and writes AF_PACKET sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.dataplane.build import build_program
from emulator.dataplane.hostpath import open_host_path
from emulator.dataplane.process import Launch, ProcessVnf, Site, start_process

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Compile and start the VNF of a node; see ``start_vnf``."""
    program = build_program(manifest, "packet")
    launch = Launch([str(program)])
    # A packet socket takes copies: without a shield, the node's stack would see every frame too.
    launch.use(open_host_path(node, netns, shield=True))
    return start_process(node, netns, manifest, site, launch)
