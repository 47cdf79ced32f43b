"""Questions about the shape of a network: what hangs together, and what goes round in circles."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Groups(Generic[Item]):
    """Sets that grow together; whatever was never joined is a set of its own."""

    def __init__(self) -> None:
        self._parent: dict[Item, Item] = {}

    def find(self, item: Item) -> Item:
        """The member that stands for the item's set."""
        parent = self._parent
        root = item
        while (above := parent.get(root, root)) != root:
            root = above
        while item != root:
            parent[item], item = root, parent.get(item, root)
        return root

    def join(self, a: Item, b: Item) -> None:
        """Make one set of two."""
        self._parent[self.find(a)] = self.find(b)


def loops(nodes: Iterable[str], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The parts of a graph in which every node lies on a cycle.

    Parallel edges make a cycle. Edges to nodes that are not among ``nodes`` do not count.

    Returns:
        the nodes of each part, in the order in which ``nodes`` gave them.
    """
    order = {node: position for position, node in enumerate(nodes)}
    inside = [(a, b) for a, b in edges if a in order and b in order and a != b]
    if not _closes_a_cycle(inside):
        return []

    import networkx  # takes 0.2 s, which a network without loops need not spend

    graph = networkx.MultiGraph(inside)
    graph.remove_edges_from(list(networkx.bridges(graph)))
    parts = [sorted(part, key=order.__getitem__) for part in networkx.connected_components(graph)]
    return sorted((part for part in parts if len(part) > 1), key=lambda part: order[part[0]])


def _closes_a_cycle(edges: Iterable[tuple[str, str]]) -> bool:
    groups: Groups[str] = Groups()
    for a, b in edges:
        if groups.find(a) == groups.find(b):
            return True
        groups.join(a, b)
    return False
