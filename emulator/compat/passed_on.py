"""Names that Mininet's modules have only because they import them, which scripts make use of.

``from mininet.net import Mininet, CLI`` works there because ``mininet.net`` imports ``CLI`` for
itself; and a script that begins with ``from mininet.net import *`` counts on ``os`` and ``sleep``.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

_UTIL = (
    "BaseString decode encode errFail errRun irange ipAdd ipParse ipStr isShellBuiltin "
    "macColonHex mountCgroups moveIntf netParse numCores quietRun retry waitListening"
)

_FROM: dict[str, dict[str, str]] = {
    "mininet.cli": {
        "": "errno os select time",
        "cmd": "Cmd",
        "mininet.log": "error info output",
        "mininet.term": "makeTerms runX11",
        "mininet.util": "dumpNodeConnections dumpPorts quietRun",
        "select": "POLLIN poll",
        "subprocess": "call",
    },
    "mininet.clean": {
        "": "time",
        "mininet.log": "info",
        "mininet.term": "cleanUpScreens",
        "mininet.util": "decode",
        "subprocess": "CalledProcessError PIPE Popen",
    },
    "mininet.link": {
        "": "re",
        "mininet.log": "debug error info",
        "mininet.util": "makeIntfPair",
    },
    "mininet.net": {
        "": "os random re select signal",
        "itertools": "chain groupby",
        "math": "ceil",
        "mininet.cli": "CLI",
        "mininet.link": "Intf Link TCIntf",
        "mininet.log": "debug error info output warn",
        "mininet.node": "Controller DefaultController Host Node OVSKernelSwitch",
        "mininet.nodelib": "NAT",
        "mininet.term": "cleanUpScreens makeTerms",
        "mininet.util": f"{_UTIL} fixLimits ensureRoot custom",
        "sys": "exit",
        "time": "sleep",
    },
    "mininet.node": {
        "": "os pty re select signal",
        "mininet.link": "Intf Link OVSIntf TCIntf",
        "mininet.log": "debug error info warn",
        "mininet.moduledeps": "TUN moduleDeps pathCheck",
        "mininet.util": _UTIL,
        "subprocess": "PIPE Popen",
        "sys": "exit",
        "time": "sleep",
    },
    "mininet.nodelib": {
        "mininet.log": "info warn",
        "mininet.moduledeps": "pathCheck",
        "mininet.node": "Node Switch",
        "mininet.util": "quietRun",
    },
    "mininet.term": {
        "mininet.log": "error",
        "mininet.util": "errRun quietRun",
        "os": "environ",
    },
    "mininet.topo": {"mininet.util": "irange natural naturalSeq"},
    "mininet.topolib": {"mininet.net": "Mininet", "mininet.topo": "Topo"},
    "mininet.util": {
        "": "codecs fcntl os re sys",
        "functools": "partial",
        "mininet.log": "debug error info output warn",
        "select": "POLLHUP POLLIN poll",
        "subprocess": "PIPE Popen STDOUT call check_call",
        "sys": "exit",
        "time": "sleep",
    },
}
"""Module -> where it has names from -> which; without a place, modules themselves."""


@cache
def names(module: str) -> dict[str, str]:
    """Each name that a module passes on, and where it is from."""
    return {
        name: origin for origin, listed in _FROM.get(module, {}).items() for name in listed.split()
    }


def found(module: str, name: str) -> Any:
    """What a name that a module passes on means."""
    origin = names(module)[name]
    if not origin:
        return importlib.import_module(name)
    if origin.startswith("mininet."):
        origin = f"emulator.compat.{origin}"
    return getattr(importlib.import_module(origin), name)
