"""The ``packet`` data plane: the VNF is a process that reads and writes AF_PACKET sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.dataplane.build import build_program
from emulator.dataplane.process import Launch, ProcessVnf, Site, start_process

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.kernel.netns import Netns
    from emulator.plan.model import NodePlan


def start(node: NodePlan, netns: Netns, manifest: Manifest, site: Site | None) -> ProcessVnf:
    """Compile and start the VNF of a node; see ``start_vnf``."""
    program = build_program(manifest, "packet")
    return start_process(node, netns, manifest, site, Launch([str(program)]))
