"""Topologies made with ``mininet.topo.Topo``, taken over as our own.

Mininet itself is never imported: whatever has the methods of its ``Topo`` will do.
"""

from __future__ import annotations

from typing import Any

from emulator.errors import UsageError
from emulator.multigraph import Options
from emulator.topo import Topo

_METHODS = ("nodes", "links", "isSwitch", "nodeInfo", "linkInfo")
# The class of the example that comes with Mininet, and what courses have shortened it to. Other
# classes of a user's own may do anything, and the compiler says that it cannot.
_ROUTERS = ("LinuxRouter", "Router")


def is_mininet_topo(topo: Any) -> bool:
    """Whether an object (not a class) is a topology in Mininet's sense and not one of ours."""
    return (
        not isinstance(topo, Topo | type)
        and hasattr(topo, "g")
        and all(callable(getattr(topo, method, None)) for method in _METHODS)
    )


def from_mininet(topo: Any) -> Topo:
    """The same topology as ours: every node and link with its options and ports.

    A node of the class ``LinuxRouter`` becomes a router. What Mininet's options ask for is judged
    where the topology is compiled, like that of any other.
    """
    ours = _Imported()
    ours.name = type(topo).__name__.lower()
    for name in topo.nodes(sort=False):
        options: Options = dict(topo.nodeInfo(name))
        if topo.isSwitch(name):
            options.pop("isSwitch", None)
            ours.addSwitch(name, **options)
        elif getattr(options.get("cls"), "__name__", None) in _ROUTERS:
            del options["cls"]
            ours.addRouter(name, **options)
        else:
            ours.addHost(name, **options)
    for node1, node2, key, info in topo.links(withKeys=True, withInfo=True):
        options = {
            option: value for option, value in info.items() if option not in ("node1", "node2")
        }
        ours.addLink(node1, node2, key=key, **options)
    return ours


def as_topo(topo: Any) -> Topo:
    """A topology of ours, or one in Mininet's sense taken over.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(topo, Topo):
        return topo
    if is_mininet_topo(topo):
        return from_mininet(topo)
    given = topo.__name__ if isinstance(topo, type) else type(topo).__name__
    hint = f"call it: {given}()" if isinstance(topo, type) else "give an object of a Topo class"
    raise UsageError("that is not a topology", where=given, hint=hint)


class _Imported(Topo):
    def _place(self) -> str:
        # The line that wrote a node was in Mininet's calls, which keep none.
        return ""
