"""Ways along switches, from one interface of a node to that of another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from emulator.plan.wiring import Interface, Wiring


@dataclass(frozen=True)
class Way:
    """The switches from an interface to another.

    Attributes:
        start, end: the interfaces of nodes that are no switches.
        turns: for each switch, where frames come in and where they go out.
    """

    start: Interface
    end: Interface
    turns: tuple[tuple[Interface, Interface], ...]


class Ways:
    """The shortest ways along the switches of a network."""

    def __init__(self, wiring: Wiring) -> None:
        import networkx  # takes 0.2 s, which a network without chains need not spend

        self._graph: networkx.Graph[str] = networkx.Graph()
        for a, b in wiring.links:
            here, there = a.owner, b.owner
            between = here.kind == there.kind == "switch"
            # Of parallel links the one added first.
            if between and not self._graph.has_edge(here.name, there.name):
                self._graph.add_edge(here.name, there.name, out={here.name: a, there.name: b})
        self._shortest = cache(self._find)

    def between(self, start: Interface, end: Interface) -> Way | None:
        """The way from an interface to another, by as few switches as can be; None without any."""
        if start.peer is end:
            return Way(start, end, ())
        first, last = start.peer, end.peer
        if first.owner.kind != "switch" or last.owner.kind != "switch":
            return None
        switches = self._shortest(first.owner.name, last.owner.name)
        if switches is None:
            return None
        turns, come_in = [], first
        for here, there in pairwise(switches):
            go_out: Interface = self._graph[here][there]["out"][here]
            turns.append((come_in, go_out))
            come_in = go_out.peer
        turns.append((come_in, last))
        return Way(start, end, tuple(turns))

    def _find(self, first: str, last: str) -> list[str] | None:
        import networkx

        if first == last:
            return [first]
        try:
            return list(networkx.shortest_path(self._graph, first, last))
        except (networkx.NetworkXNoPath, networkx.NodeNotFound):
            return None
