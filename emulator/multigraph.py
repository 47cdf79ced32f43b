"""The plain multigraph inside a topology: nodes, parallel links, and the ports they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

NodeKind = Literal["host", "switch", "router", "vnf", "app", "controller"]
Options = dict[str, Any]


@dataclass
class NodeEntry:
    """One node as it was written: ``options`` are the keyword arguments of its ``add`` call.

    ``place`` is the ``file:line`` of that call, or empty when the node came from elsewhere.
    ``folder`` is that file's, which relative paths in the options start from; it may be empty too.
    """

    name: str
    kind: NodeKind
    options: Options
    place: str = ""
    folder: str = ""


@dataclass(eq=False)
class LinkEntry:
    """One link as it was written; ``info`` is the dict that ``Topo.linkInfo`` returns.

    ``place`` and ``folder`` are as those of a node.
    """

    node1: str
    node2: str
    key: int
    info: Options
    place: str = ""
    folder: str = ""


@dataclass(eq=False)
class ExternalEntry:
    """An interface of the machine as it was given to a node, at one of the node's ports."""

    interface: str
    node: str
    port: int
    options: Options
    place: str = ""


@dataclass
class MultiGraph:
    """Nodes and links in the order they were added.

    A link may name nodes that do not exist: it is kept, so that it can be reported.
    """

    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    ports: dict[str, dict[int, tuple[str, int]]] = field(default_factory=dict)
    """For each node, port number -> (the peer's name, the peer's port number)."""
    _links: dict[int, LinkEntry] = field(default_factory=dict)
    _between: dict[tuple[str, str], dict[int, LinkEntry]] = field(default_factory=dict)
    _next_port: dict[str, int] = field(default_factory=dict)
    _added: int = 0

    @property
    def links(self) -> list[LinkEntry]:
        """The links in the order they were added."""
        return list(self._links.values())

    def between(self, a: str, b: str) -> dict[int, LinkEntry]:
        """The links between two nodes, by key."""
        return self._between.get((a, b), {})

    def add_link(self, entry: LinkEntry) -> None:
        """Add a link whose key no other between its nodes has."""
        a, b = entry.node1, entry.node2
        parallel = self._between.get((a, b))
        if parallel is None:
            parallel = self._between[a, b] = self._between[b, a] = {}
        parallel[entry.key] = entry
        self._links[self._added] = entry
        self._added += 1
        port1, port2 = entry.info["port1"], entry.info["port2"]
        for name, port, peer in ((a, port1, (b, port2)), (b, port2, (a, port1))):
            # A port that is no number is the compiler's to tell of, like one taken twice.
            if type(port) is int:
                self.ports.setdefault(name, {})[port] = peer

    def remove_node(self, name: str) -> list[LinkEntry]:
        """Remove a node; the links that went with it."""
        gone = self._remove(lambda entry: name in (entry.node1, entry.node2))
        del self.nodes[name]
        self.ports.pop(name, None)
        return gone

    def remove_links(self, a: str, b: str, key: int | None) -> list[LinkEntry]:
        """Remove the link with that key between two nodes, or all of them; what was removed."""
        doomed = [entry for entry in self.between(a, b).values() if key in (None, entry.key)]
        return self._remove(lambda entry: entry in doomed)

    def _remove(self, is_doomed: Any) -> list[LinkEntry]:
        doomed = {number: entry for number, entry in self._links.items() if is_doomed(entry)}
        for number, entry in doomed.items():
            del self._links[number]
            del self._between[entry.node1, entry.node2][entry.key]
            for name, port in ((entry.node1, "port1"), (entry.node2, "port2")):
                self.ports.get(name, {}).pop(entry.info[port], None)
                self._next_port.pop(name, None)
        return list(doomed.values())

    def free_port(self, name: str) -> int:
        """The number that the next port of a node gets when none is asked for.

        As in Mininet it follows from how many ports there are already; where a port given by
        hand is in the way, the next free one is taken.
        """
        node = self.nodes.get(name)
        base = 1 if node is not None and node.kind == "switch" else 0
        used = self.ports.get(name, {})
        # The search resumes where the last one ended, or a row of ports given by hand would be
        # walked again for every link.
        number = max(len(used) + base, self._next_port.get(name, 0))
        while number in used:
            number += 1
        self._next_port[name] = number
        return number
