"""Taking a switch out of service, and back, whatever does its work.

Its ports go down, so that the far ends lose their carrier as if it were switched off, but for those
of impaired links, which have what impairs them at the other end of their cable. The kernel
keeps in mind which they were, by a number that each of them is given: so links that were down
before stay down after, and any process that is attached to the lab can bring the switch back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import UsageError
from emulator.kernel.rtnl import Rtnl, forget_neighbours
from emulator.names import kind_word
from emulator.readiness import wait_ready

if TYPE_CHECKING:
    from emulator.lab import Lab
    from emulator.node import Node

OUT_OF_SERVICE = 0x766E66
"""The group of ports that are down because their switch is."""


def set_switch(lab: Lab, name: str, *, up: bool) -> None:
    """Takes a switch out of service, or back; see ``Network.set_switch``."""
    node = _switch(lab, name)
    names = {interface.kernel_name for interface in node.plan.interfaces}
    with Rtnl.inside(node.netns) as rtnl:
        for port in rtnl.links():
            if port.name not in names or (port.group == OUT_OF_SERVICE) != up:
                continue
            if up or port.up:
                rtnl.set_group(port.index, 0 if up else OUT_OF_SERVICE, where=name)
                rtnl.set_up(port.index, up, where=name)
        rtnl.commit()
    if up:
        _wait(lab, node)


def _wait(lab: Lab, node: Node) -> None:
    plain = [
        link
        for link in lab.plan.links
        # An impaired link may be down between its ends, and then nothing is to be waited for.
        if node.name in (link.a.node, link.b.node) and link.mechanism == "none"
    ]
    ends = [end for link in plain for end in (link.a, link.b)]
    wait_ready(lab.plan, lab.netns, ends, port_states=lab.port_states)
    # Who asked for a neighbour in vain meanwhile would not ask again for a second.
    hosts = [each for each in lab.nodes.values() if each.kind in ("host", "router")]
    forget_neighbours(each.netns for each in hosts)


def _switch(lab: Lab, name: str) -> Node:
    node = lab.nodes.get(name)
    if node is None:
        lab.plan.node(name)
    if node is None or node.kind != "switch":
        kind = "node" if node is None else kind_word(node.kind)
        raise UsageError(f"{name} is a {kind}, not a switch", hint="links of other nodes go down")
    return node
