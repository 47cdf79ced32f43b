"""Interfaces of the machine as users give them to nodes."""

from __future__ import annotations

from emulator.errors import UsageError
from emulator.multigraph import ExternalEntry, MultiGraph, Options
from emulator.names import choice_hint


class WrittenExternals:
    """The interfaces of the machine that a topology has, in the order they were added.

    Args:
        graph: that of the topology, in which they take ports of nodes.
    """

    def __init__(self, graph: MultiGraph) -> None:
        self.entries: list[ExternalEntry] = []
        self._graph = graph

    def add(self, interface: str, node: str, options: Options, place: str) -> None:
        """Give a node an interface."""
        port = self._graph.free_port(node)
        self._graph.ports.setdefault(node, {})[port] = (str(interface), 0)
        self.entries.append(ExternalEntry(interface, node, port, options, place))

    def remove(self, interface: str, *, where: str) -> None:
        """Take an interface away from its node.

        Raises:
            UsageError: no node has it; it happens at ``where``.
        """
        for entry in self.entries:
            if entry.interface == interface:
                self.entries.remove(entry)
                self._graph.ports.get(entry.node, {}).pop(entry.port, None)
                return
        hint = choice_hint(interface, [entry.interface for entry in self.entries])
        raise UsageError(f"there is no external {interface}", where=where, hint=hint)

    def forget(self, node: str) -> None:
        """A node that has been removed has none."""
        self.entries = [entry for entry in self.entries if entry.node != node]
