"""Questions about the shape of a network: what hangs together, and what goes round in circles."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
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

    An edge lies on a cycle unless taking it away would cut its graph in two, and such edges are
    found by one depth-first search in linear time (R. E. Tarjan, "A note on finding the bridges
    of a graph", Information Processing Letters 2, 1974).

    Returns:
        the nodes of each part, in the order in which ``nodes`` gave them.
    """
    beside: dict[str, list[tuple[str, int]]] = {node: [] for node in nodes}
    for number, (a, b) in enumerate(edges):
        if a in beside and b in beside and a != b:
            beside[a].append((b, number))
            beside[b].append((a, number))
    cutting = _cutting_edges(beside)
    groups: Groups[str] = Groups()
    for number, (a, b) in enumerate(edges):
        if a in beside and b in beside and a != b and number not in cutting:
            groups.join(a, b)
    parts: dict[str, list[str]] = {}
    for node in beside:
        parts.setdefault(groups.find(node), []).append(node)
    return [part for part in parts.values() if len(part) > 1]


def _cutting_edges(beside: Mapping[str, Sequence[tuple[str, int]]]) -> set[int]:
    found: set[int] = set()
    order: dict[str, int] = {}
    # The earliest node that a subtree reaches without its own tree edge.
    reach: dict[str, int] = {}
    for start in beside:
        if start in order:
            continue
        order[start] = reach[start] = len(order)
        path = [(start, -1, iter(beside[start]))]
        while path:
            node, came_by, neighbours = path[-1]
            for other, edge in neighbours:
                if edge == came_by:
                    continue
                if other in order:
                    reach[node] = min(reach[node], order[other])
                    continue
                order[other] = reach[other] = len(order)
                path.append((other, edge, iter(beside[other])))
                break
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    reach[above] = min(reach[above], reach[node])
                    if reach[node] > order[above]:
                        found.add(came_by)
    return found
