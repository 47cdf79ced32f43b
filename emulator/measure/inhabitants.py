"""Which processes live in which node of a lab."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from emulator.kernel.proc import pids_by_namespace

if TYPE_CHECKING:
    from emulator.node import Node


def processes_by_node(nodes: Iterable[Node]) -> dict[str, tuple[int, ...]]:
    """The processes that live in each node now, as the machine's own PID namespace numbers them.

    Those of a container are told by its PID namespace, because it may share the network of another
    one; those of any other node by its network namespace. Nothing lives in a switch, which is a
    bridge in a namespace that it shares with others.

    Raises:
        LabError: the lab has ended.
    """
    by_netns, by_space = pids_by_namespace("net"), pids_by_namespace("pid")
    found = {}
    for node in nodes:
        pids: set[int] = set()
        if node.container is not None:
            with suppress(FileNotFoundError, ProcessLookupError):  # the container has ended
                space = os.stat(f"/proc/{node.container.pid}/ns/pid").st_ino
                pids.update(by_space.get(space, ()))
        elif node.kind != "switch":
            pids.update(by_netns.get(os.fstat(node.netns.fd).st_ino, ()))
        vnf = node.vnf
        if vnf is not None and vnf.pid is not None and vnf.failure() is None:
            pids.add(vnf.pid)
        found[node.name] = tuple(sorted(pids))
    return found
