"""What changes between two plans of the same lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from emulator.plan.kept import keep_node
from emulator.plan.model import LinkPlan, NodePlan, Plan


@dataclass(frozen=True)
class Difference:
    """The steps from one plan to another.

    Attributes:
        nodes_gone, nodes_new: nodes of one plan only, or of another kind in each.
        nodes_changed: nodes that stay, as they are afterwards, but are planned differently or have
            an interface that comes or goes: one with the same plan is still another one.
        nodes_replaced: those of ``nodes_changed`` that have to be made anew, because what encloses
            them is planned differently: another runtime, another container, another host. An app
            container is made anew whenever the node is that it lives in.
        links_gone, links_new: links of one plan only, or whose ends are planned differently, or
            which something else is to impair.
        links_changed: links that stay, as they are afterwards, but whose impairments change.
    """

    nodes_gone: tuple[NodePlan, ...]
    nodes_new: tuple[NodePlan, ...]
    nodes_changed: tuple[NodePlan, ...]
    nodes_replaced: tuple[NodePlan, ...]
    links_gone: tuple[LinkPlan, ...]
    links_new: tuple[LinkPlan, ...]
    links_changed: tuple[LinkPlan, ...]

    @classmethod
    def between(cls, before: Plan, after: Plan) -> Self:
        """The steps from ``before`` to ``after``."""
        old = {node.name: node for node in before.nodes}
        new = {node.name: node for node in after.nodes}
        stay = {name for name in old.keys() & new.keys() if _sort(old[name]) == _sort(new[name])}
        kept = _links(before, stay).items() & _links(after, stay).items()
        kept_ids = {link for link, _ in kept}
        links_gone = tuple(link for link in before.links if link.id not in kept_ids)
        links_new = tuple(link for link in after.links if link.id not in kept_ids)
        was = {link.id: (link.up, link.down) for link in before.links}
        touched = {end.node for link in links_gone + links_new for end in (link.a, link.b)}
        replaced = _replaced(old, new, stay)
        return cls(
            nodes_gone=tuple(node for name, node in old.items() if name not in stay),
            nodes_new=tuple(node for name, node in new.items() if name not in stay),
            nodes_changed=tuple(
                node
                for name, node in new.items()
                if name in stay and (name in touched | replaced or node != old[name])
            ),
            nodes_replaced=tuple(node for name, node in new.items() if name in replaced),
            links_gone=links_gone,
            links_new=links_new,
            links_changed=tuple(
                link
                for link in after.links
                if link.id in kept_ids and was[link.id] != (link.up, link.down)
            ),
        )


def keep_limits(plan: Plan, *, asked: Plan, running: Plan) -> Plan:
    """A plan in which nodes keep the limits and addresses that they were given while they ran.

    Args:
        plan: what the changed topology asks for.
        asked: what the topology asked for before the change.
        running: what runs: as it was asked for, or updated since.

    Returns:
        ``plan``, with what the change does not touch as it runs.
    """
    before = {node.name: node for node in asked.nodes}
    now = {node.name: node for node in running.nodes}

    def kept(node: NodePlan) -> NodePlan:
        old, live = before.get(node.name), now.get(node.name)
        if old is None or live is None:
            return node
        node = keep_node(node, old, live)
        if live.container in (None, node.container):
            return node
        if _enclosure(old) != _enclosure(node):
            return node
        return node.model_copy(update={"container": live.container})

    return plan.model_copy(update={"nodes": tuple(kept(node) for node in plan.nodes)})


def _replaced(old: Mapping[str, NodePlan], new: Mapping[str, NodePlan], stay: set[str]) -> set[str]:
    """The nodes in both plans that have to be made anew."""
    names = {name for name in stay if _enclosure(old[name]) != _enclosure(new[name])}
    # An app container lives in no other, so one step finds all that follow their host.
    return names | {
        name
        for name in stay
        if (host := new[name].host) is not None and (host in names or host not in stay)
    }


def _sort(node: NodePlan) -> tuple[str, str | None]:
    """What a node has to be from its beginning."""
    return (node.kind, None if node.switch is None else node.switch.kind)


def _enclosure(node: NodePlan) -> tuple[object, ...]:
    return (node.runtime, node.container, node.host, node.private_dirs)


def _links(plan: Plan, nodes: set[str]) -> dict[str, tuple[object, ...]]:
    """By id, what makes a link of a plan what it is, for the links between some nodes."""
    return {
        link.id: (
            link.mechanism,
            *(
                (i.kernel_name, i.mac, i.mtu, i.vlan, i.trunk, i.addresses, i.memif)
                for i in (plan.interface(link.a), plan.interface(link.b))
            ),
        )
        for link in plan.links
        if link.a.node in nodes and link.b.node in nodes
    }
