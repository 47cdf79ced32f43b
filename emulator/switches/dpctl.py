"""``ovs-ofctl`` on the switches of a lab."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from emulator.errors import LabError, UsageError

if TYPE_CHECKING:
    from emulator.node import Node


def dpctl(node: Node, command: str, *more: str) -> str:
    """What ``ovs-ofctl`` prints of a bridge; see ``Node.dpctl``.

    Raises:
        UsageError: the node is no Open vSwitch bridge.
        LabError: it fails.
    """
    switch = node.plan.switch
    if switch is None or switch.ovs is None:
        what = f"a switch of the kind {switch.kind}" if switch is not None else f"a {node.kind}"
        raise UsageError(
            f"{what} has no flows of OpenFlow",
            where=node.name,
            hint='addSwitch(…, kind="ovs") makes one that has',
        )
    words = [*shlex.split(command), *more]
    if not words:
        raise UsageError("there is no command for ovs-ofctl", where=node.name, hint="dump-flows")
    versions = ["-O", ",".join(switch.ovs.protocols)] if switch.ovs.protocols else []
    bridge = node.plan.kernel_name or node.name
    process = node.popen(
        ["ovs-ofctl", *versions, words[0], bridge, *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output, errors = process.communicate()
    if process.returncode:
        lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
        raise LabError(lines[-1], where=node.name)
    return str(output)
