"""Nodes and links as users write them, and what is wrong with that alone.

Whatever else is wrong is found when the topology is compiled.
"""

from __future__ import annotations

from typing import Any

from emulator.errors import Problem
from emulator.multigraph import LinkEntry, MultiGraph, NodeEntry, NodeKind, Options
from emulator.names import kind_word, missing_hint, place_of


class WrittenGraph:
    """The nodes and links of a topology, and the mistakes that adding them has met.

    Places are files with a line, ``/my/topo.py:12``, or empty.

    Args:
        graph: what they are added to.
    """

    def __init__(self, graph: MultiGraph) -> None:
        self._graph = graph
        self._problems: list[Problem] = []
        self._dangling: list[tuple[LinkEntry, str]] = []

    def add_node(self, name: Any, kind: NodeKind, options: Options, place: str) -> str:
        """Add a node; a name that cannot be had is a problem. Returns the name."""
        folder, _, place = place.rpartition("/")
        where = place_of(place, f"{kind_word(kind)} {name}")
        if not isinstance(name, str):
            text = f"a node's name is a string, not {type(name).__name__}"
            hint = f'write "h{name}"' if isinstance(name, int) else "give it a string"
            self._problems.append(Problem(where, text, hint))
            name = str(name)
        earlier = self._graph.nodes.get(name)
        if earlier is None:
            self._graph.nodes[name] = NodeEntry(name, kind, options, place, folder)
        else:
            at = f" at {earlier.place}" if earlier.place else ""
            text = f"the name is already that of a {kind_word(earlier.kind)} added{at}"
            self._problems.append(Problem(where, text, "every node needs a name of its own"))
        return str(name)

    def add_link(
        self,
        names: tuple[str, str],
        ports: tuple[int | None, int | None],
        key: int | None,
        options: Options,
        place: str,
    ) -> int:
        """Add a link; returns its key.

        Args:
            ports: None for the next free one.
            key: None for one more than the highest between the two nodes.
        """
        name1, name2 = names
        folder, _, place = place.rpartition("/")
        parallel = self._graph.between(name1, name2)
        if key is not None and (type(key) is not int or key in parallel):
            taken = "already that of another link between the two"
            text = f"key {key} is {taken if type(key) is int else 'not a whole number'}"
            where = place_of(place, f"link {name1} - {name2}")
            self._problems.append(Problem(where, text, "leave key out to get a free one"))
            key = None
        if key is None:
            key = max(parallel, default=0) + 1
        info = {**options, "node1": name1, "node2": name2}
        for number, name, port in ((1, name1, ports[0]), (2, name2, ports[1])):
            info[f"port{number}"] = self._graph.free_port(name) if port is None else port
        entry = LinkEntry(name1, name2, key, info, place, folder)
        self._graph.add_link(entry)
        for name in dict.fromkeys(names):
            if name not in self._graph.nodes:
                self._dangling.append((entry, name))
        return key

    def forget(self, links: list[LinkEntry]) -> None:
        """What was wrong with links that have been removed is so no more."""
        self._dangling = [item for item in self._dangling if item[0] not in links]

    def problems(self) -> list[Problem]:
        """The mistakes so far."""
        missing = []
        # A name is looked for among all others once, however many links have it wrong.
        unknown = {name for _, name in self._dangling}
        hints = {name: missing_hint(name, self._graph.nodes) for name in unknown}
        for entry, name in self._dangling:
            where = place_of(entry.place, f"link {entry.node1} - {entry.node2}")
            if name in self._graph.nodes:
                message = f"{name} is linked before it is added"
                hint = f"move the line that adds {name} above this one"
            else:
                message = f"there is no node {name}"
                hint = hints[name]
            missing.append(Problem(where, message, hint))
        return self._problems + missing
