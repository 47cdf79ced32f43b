"""The graph of a topology, as scripts read it: names, kinds, ports, options and links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError
from emulator.multigraph import LinkEntry, MultiGraph, NodeEntry, NodeKind, Options
from emulator.names import choice_hint, natural

if TYPE_CHECKING:
    import networkx


class TopoGraph:
    """Nodes, and the links between them, by the names that Mininet has for asking."""

    name: str
    """What the topology is called; the lower-case name of the class unless it is set."""

    _graph: MultiGraph

    def __repr__(self) -> str:
        counts = f"{len(self._graph.nodes)} nodes, {len(self._graph.links)} links"
        return f"<{type(self).__name__} {self.name}: {counts}>"

    @property
    def ports(self) -> dict[str, dict[int, tuple[str, int]]]:
        """For each node, port number -> (the peer's name, the peer's port number)."""
        return self._graph.ports

    def nodes(self, sort: bool = True) -> list[str]:
        """The names of all nodes, in natural order or in the order they were added."""
        return self.sorted(self._graph.nodes) if sort else list(self._graph.nodes)

    def hosts(self, sort: bool = True) -> list[str]:
        """The names of the hosts."""
        return self._of_kind("host", sort)

    def switches(self, sort: bool = True) -> list[str]:
        """The names of the switches."""
        return self._of_kind("switch", sort)

    def routers(self, sort: bool = True) -> list[str]:
        """The names of the routers."""
        return self._of_kind("router", sort)

    def vnfs(self, sort: bool = True) -> list[str]:
        """The names of the VNFs."""
        return self._of_kind("vnf", sort)

    def controllers(self, sort: bool = True) -> list[str]:
        """The names of the controllers."""
        return self._of_kind("controller", sort)

    def apps(self, sort: bool = True) -> list[str]:
        """The names of the app containers."""
        return self._of_kind("app", sort)

    def kind(self, name: str) -> NodeKind:
        """What a node is: host, switch, router, vnf, app or controller."""
        return self._node(name).kind

    def isSwitch(self, n: str) -> bool:
        """Whether a node is a switch."""
        return self._node(n).kind == "switch"

    def iterLinks(self, withKeys: bool = False, withInfo: bool = False) -> Iterator[Any]:
        """Each link as ``(node1, node2[, key][, info])``, in the order they were added."""
        for entry in self._graph.links:
            link: tuple[Any, ...] = (entry.node1, entry.node2)
            if withKeys:
                link += (entry.key,)
            if withInfo:
                link += (entry.info,)
            yield link

    def links(
        self, sort: bool = False, withKeys: bool = False, withInfo: bool = False
    ) -> list[Any]:
        """The links as ``(node1, node2[, key][, info])``; ``sort`` orders them by name."""
        links = list(self.iterLinks(withKeys, withInfo))
        if sort:
            size = 3 if withKeys else 2
            links.sort(key=lambda link: [natural(part) for part in link[:size]])
        return links

    def port(self, src: str, dst: str) -> tuple[int, int] | list[tuple[int, int]]:
        """The ports of the link between two nodes, the first node's first.

        Nodes with several links between them, or with none, give a list of such pairs.
        """
        self._node(src)
        pairs = [
            (number, peer_number)
            for number, (peer, peer_number) in self.ports.get(src, {}).items()
            if peer == dst
        ]
        return pairs[0] if len(pairs) == 1 else pairs

    def nodeInfo(self, name: str) -> Options:
        """The options of a node, to read or to change."""
        return self._node(name).options

    def setNodeInfo(self, name: str, info: Options) -> None:
        """Replace the options of a node."""
        self._node(name).options = info

    def linkInfo(self, src: str, dst: str, key: int | None = None) -> Options:
        """The options of a link with its ``node1``, ``node2``, ``port1`` and ``port2``.

        Without a key, of the link with the lowest key between the two nodes.
        """
        return self._link(src, dst, key).info

    def setlinkInfo(self, src: str, dst: str, info: Options, key: int | None = None) -> None:
        """Replace the options of a link; its nodes and ports stay."""
        entry = self._link(src, dst, key)
        ends = {name: entry.info[name] for name in ("node1", "node2", "port1", "port2")}
        entry.info = {**info, **ends}

    def convertTo(self, cls: type[Any], data: bool = True, keys: bool = True) -> Any:
        """The topology as an object of a class with networkx's ``MultiGraph`` methods.

        Args:
            cls: the class.
            data: whether nodes and links carry their options.
            keys: whether links carry their keys.
        """
        graph = cls()
        for name, node in self._graph.nodes.items():
            graph.add_node(name, **({"kind": node.kind, **node.options} if data else {}))
        for link in self._graph.links:
            named = {"key": link.key} if keys else {}
            graph.add_edge(link.node1, link.node2, **named, **(link.info if data else {}))
        return graph

    def to_networkx(self) -> networkx.MultiGraph[str]:
        """The topology as a networkx multigraph; each node carries its ``kind`` and options."""
        import networkx  # takes 0.2 s, which most uses of a topology never need

        graph: networkx.MultiGraph[str] = self.convertTo(networkx.MultiGraph)
        return graph

    @staticmethod
    def sorted(items: Iterable[str]) -> list[str]:
        """Names in natural order: h2 before h10."""
        return sorted(items, key=natural)

    # -- for the compiler --------------------------------------------------------------------

    def node_entries(self) -> Mapping[str, NodeEntry]:
        """The nodes as they were written, in the order they were added."""
        return self._graph.nodes

    def link_entries(self) -> list[LinkEntry]:
        """The links as they were written, in the order they were added."""
        return self._graph.links

    # -- inside ------------------------------------------------------------------------------

    def _of_kind(self, kind: NodeKind, sort: bool) -> list[str]:
        names = [name for name, entry in self._graph.nodes.items() if entry.kind == kind]
        return self.sorted(names) if sort else names

    def _node(self, name: str) -> NodeEntry:
        try:
            return self._graph.nodes[name]
        except KeyError:
            hint = choice_hint(name, self.nodes())
            raise UsageError(f"there is no node {name}", where=self.name, hint=hint) from None

    def _link(self, src: str, dst: str, key: int | None) -> LinkEntry:
        self._node(src)
        self._node(dst)
        parallel = self._graph.between(src, dst)
        if parallel and key is None:
            return parallel[min(parallel)]
        if key is None or key not in parallel:
            which = "" if key is None else f" with key {key}"
            raise UsageError(f"there is no link{which} between {src} and {dst}", where=self.name)
        return parallel[key]
